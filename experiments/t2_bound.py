"""Reproduces the T² bound of behavior cloning, exactly and with trained students."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

import cli
from agents.runs.folder import make_folder
from agents.theory import figure, lab, mixtures, neural
from agents.theory.tables import t2_tables
from textgen_env.data.files import write_atomically
from textgen_env.terminal import console


def main(config: DictConfig) -> None:
    """Compute the curves, train the students; write tables, t2_bound.json and t2_bound.png."""
    folder = make_folder(config.out)
    results = exact(config)
    if config.neural:
        results |= trained(config, results["curves"])
    for table in t2_tables(results):
        console.print(table)
        console.print()
    content = {
        **results,
        "curves": [
            curve._asdict() | {"slope": curve.slope._asdict()} for curve in results["curves"]
        ],
    }
    write_atomically(folder / "t2_bound.json", json.dumps(content, indent=1).encode())
    write_atomically(folder / "t2_bound.png", figure.t2_bound_png(results))
    console.print(f"{folder / 't2_bound.png'}, {folder / 't2_bound.json'}", soft_wrap=True)


def exact(config: DictConfig) -> dict[str, Any]:
    """The results that follow from definitions; those of ``trained`` are measured."""
    steps, rng = lab.horizons(config.shortest, config.longest), np.random.default_rng(config.seed)
    return {
        "settings": OmegaConf.to_container(config),
        "curves": [
            *lab.horizon_curves(steps, config.epsilon),
            *lab.horizon_free(steps, config.demonstrations),
        ],
        "cost_by_step": lab.cost_by_step(steps[-1], config.epsilon),
        "tight": lab.tight(steps, config.epsilon),
        "random_mdps": lab.random_mdps(rng, config.mdps),
        "mixtures": mixtures.sweep(rng),
    }


def trained(config: DictConfig, curves: list[lab.RegretCurve]) -> dict[str, Any]:
    """Train the students; return ``curves`` with theirs (kind "neural"), and all ``students``."""
    steps = lab.horizons(config.neural_shortest, config.neural_longest)
    console.print(
        f"training {2 * len(steps) * config.neural_seeds} students, T = {steps[0]} … {steps[-1]}"
    )
    students = list(neural.train_and_evaluate(steps, config.neural_seeds, config.neural_epsilon))
    more = neural.student_curves(students, config.neural_epsilon)
    return {"curves": [*curves, *more], "students": [student._asdict() for student in students]}


if __name__ == "__main__":
    cli.run(main, "t2_bound")
