"""What a command computes on: device, precision and threads, and the versions of its packages."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import NamedTuple

import torch
from omegaconf import DictConfig
from torch import nn

from agents.precision import resolve_device, resolve_precision
from textgen_env.terminal import console

PACKAGES = [
    "torch",
    "gymnasium",
    "stable-baselines3",
    "imitation",
    "sacrebleu",
    "rouge-score",
    "tokenizers",
    "transformers",
    "numpy",
    "scipy",
]


class Machine(NamedTuple):
    """The precision, "float32" or "bf16", and the torch device."""

    precision: str
    device: str


def resolve_machine(config: DictConfig) -> Machine:
    """Resolve ``auto`` in ``config.device`` and ``config.precision``.

    Raises:
        UserError: the device or the precision is not available.
    """
    device = resolve_device(config.device)
    return Machine(resolve_precision(config.precision, device), device)


def use_machine(config: DictConfig) -> Machine:
    """Resolve the machine, set the CPU threads and decoding workers, and print all of it."""
    machine = resolve_machine(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    console.print(
        f"computing: {machine.precision} on {machine.device}, {torch.get_num_threads()} "
        f"CPU threads, accel: {install_accel(config.workers)}"
    )
    return machine


def install_accel(workers: int | None) -> str:
    """Install the optional CPU accelerations of ``agents.accel``.

    Returns:
        What was installed; "none" if the package is missing.
    """
    if find_spec("agents.accel") is None:
        return "none"
    from agents import accel

    return accel.install(workers)


def stop_workers(policy: nn.Module) -> None:
    """Stop the decoding workers of ``policy``; an idle worker often still uses over 100 MiB."""
    if find_spec("agents.accel") is not None:
        from agents.accel import workers

        workers.stop_team(policy)


def package_versions() -> dict[str, str]:
    """The versions of Python and the packages that affect a run's results."""
    versions = {name: package_version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **versions}


def package_version(package: str) -> str:
    """The version of ``package``, or "not installed"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
