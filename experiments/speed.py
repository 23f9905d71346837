"""How much faster than its teacher a student decodes: ``python experiments/speed.py run=RUN`` (--help lists every key)."""

from __future__ import annotations

import json
from pathlib import Path

import openmp  # noqa: F401  (before torch)

import torch
from omegaconf import DictConfig
from rich.table import Table

import command_line
import distil
from agents.evaluation.outputs import subset
from agents.evaluation.speed import speed
from agents.generation.decoder import Decoder
from reopen import reopen
from textgen_env.data.files import write_atomically
from textgen_env.errors import Range, UserError, check_range
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.terminal import console


def main(config: DictConfig) -> None:
    """Tokens a second of both on the same sentences by batch size, beam and threads → a table and RUN/speed.json."""
    if config.run is None:
        raise UserError("give run=RUN, a finished run folder")
    distil.accelerate(None)
    run = reopen(config.run, config.device, config.precision)
    if not isinstance(run.teacher.oracle, PolicyOracle):
        raise UserError(f"{config.run}: its teacher is {run.teacher.about['architecture']}, nothing that decodes")
    for beam in config.beams:
        check_range("beams", beam, Range(1, len(run.task.vocabulary)))
    on, test = distil.machine(run.config), subset(run.task.splits["test"], config.rows)
    policies = {"teacher": run.teacher.oracle.policy, "student": run.student}
    table = Table(
        *("threads", "beam", "batch", "teacher tok/s", "student tok/s", "speed-up"), title=f"{config.run}, {on.precision}"
    )
    rows = []
    for threads in config.threads:
        torch.set_num_threads(threads)
        for beam in config.beams:
            writers = {
                who: Decoder(policy, beam, on.precision, on.device, config.length_penalty) for who, policy in policies.items()
            }
            for batch_size in config.batch_sizes:
                rates = speed(writers, run.task, test, batch_size, config.rounds)
                ratio = rates["student_tokens_per_second"] / rates["teacher_tokens_per_second"]
                rows.append({"threads": threads, "beam": beam, "batch_size": batch_size, **rates, "speedup": ratio})
                cells = [f"{rates[f'{who}_tokens_per_second']:,.0f}" for who in policies]
                table.add_row(str(threads), str(beam), str(batch_size), *cells, f"{ratio:.1f}×")
    settings = {name: config[name] for name in ("rounds", "length_penalty")}
    settings |= {"rows": len(test), "device": on.device, "precision": on.precision}
    written = {**settings, "speeds": rows, "versions": distil.versions()}
    console.print(table)
    write_atomically(Path(config.run) / "speed.json", json.dumps(written, indent=1).encode())


if __name__ == "__main__":
    command_line.run(main, "speed")
