"""Measures this project against other libraries: ``experiments/bench.py 'suite=[train]'``."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
from itertools import chain
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

import cli
from agents.runs.machine import package_version, package_versions
from benchmarks import suites
from benchmarks.machine import describe_machine, matmul_rates
from benchmarks.material import Setup
from benchmarks.runner import PACKAGES, missing_packages
from textgen_env.data.files import write_atomically
from textgen_env.terminal import console

ON_REQUEST = ("memory", "beam")  # not part of suite=[all]: slow, or needs a run


def main(config: DictConfig) -> None:
    """Run the suites; print each row and write it to bench.json."""
    cores = config.threads or os.cpu_count() or 1
    setup = Setup(config.vocabulary, config.width, config.tokens, cores, config.seconds)
    path = Path(config.out) / "bench.json"
    results: dict[str, Any] = {
        "settings": OmegaConf.to_container(config),
        "machine": describe_machine(cores),
        "versions": package_versions()
        | {package: package_version(package) for package in PACKAGES.values()},
        "missing": missing_packages(),
        "rows": [],
    }
    for contender, package in results["missing"].items():
        console.print(f"{contender} is left out: {package} is not installed")
    measurements = [matmul_rates]
    for name in chosen_suites(list(config.suite)):
        measurements.append(importlib.import_module(f"benchmarks.suites.{name}").run_suite)
    for row in chain.from_iterable(measure(config, setup) for measure in measurements):
        console.print(str(row), soft_wrap=True)
        results["rows"].append(row._asdict())
        write_atomically(path, json.dumps(results, indent=1).encode())
    console.print(str(path), soft_wrap=True)


def chosen_suites(names: list[str]) -> list[str]:
    """The modules of the named suites; ``all`` stands for those not in ``ON_REQUEST``."""
    known = [info.name for info in pkgutil.iter_modules(suites.__path__)]
    return [name for name in known if name in names or ("all" in names and name not in ON_REQUEST)]


if __name__ == "__main__":
    cli.run(main, "bench")
