"""Where a command computes: device, precision, threads, and the versions of what it computes with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import NamedTuple

import torch
from omegaconf import DictConfig
from torch import nn

from agents.precision import resolve_precision
from textgen_env.errors import UserError
from textgen_env.terminal import console

PACKAGES = [
    "torch",
    "gymnasium",
    "stable-baselines3",
    "imitation",
    "sacrebleu",
    "rouge-score",
    "tokenizers",
    "numpy",
    "scipy",
]


class Machine(NamedTuple):
    """ "float32" or "bf16", and a torch device."""

    precision: str
    device: str


def find_machine(config: DictConfig) -> Machine:
    """``device`` and ``precision`` of ``config`` with ``auto`` resolved; UserError where one of them is not available."""
    device = (
        ("cuda" if torch.cuda.is_available() else "cpu")
        if config.device == "auto"
        else config.device
    )
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"device={device} is not available here: {str(error).splitlines()[0]}"
        ) from error
    return Machine(resolve_precision(config.precision, device), device)


def use_machine(config: DictConfig) -> Machine:
    """``find_machine``, with as many CPU threads and decoding workers as ``config`` says; prints what was chosen."""
    machine = find_machine(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    words = [f"{machine.precision} on {machine.device}", f"{torch.get_num_threads()} CPU threads"]
    console.print(f"computing: {', '.join(words)}, accel: {accelerate(config.workers)}")
    return machine


def accelerate(workers: int | None) -> str:
    """Install what the optional folder agents/accel has, and say what it is; "none" without it."""
    if find_spec("agents.accel") is None:
        return "none"
    from agents import accel

    return accel.install(workers)


def release(policy: nn.Module) -> None:
    """End the decoding workers that ``policy`` has: one that is idle keeps what its last decode took, often over 100 MiB."""
    if find_spec("agents.accel") is not None:
        from agents.accel import workers

        workers.stop_workers(policy)


def versions() -> dict[str, str]:
    """The versions that belong to every measured number."""
    return {"python": platform.python_version(), **{name: installed(name) for name in PACKAGES}}


def installed(package: str) -> str:
    """The version of ``package``."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
