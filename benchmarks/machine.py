"""What the figures are measured on, and what it gives at best."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import torch
from omegaconf import DictConfig

from benchmarks.material import Setup, precisions
from benchmarks.runner import Job, opened, turns
from benchmarks.table import Row, row


def described(cores: int) -> dict[str, Any]:
    """The processor, what it can, and how much of it is used."""
    able = torch.cpu.get_capabilities()
    features = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if able.get(name)]
    name = able.get("cpu_name", platform.processor())
    return {"processor": name, "features": features, "cores": cores, "system": platform.platform(), "precisions": precisions()}


def product_rates(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """Floating-point operations a second of a square matrix product: what everything else is a share of."""
    with opened(setup, "ours") as runners:
        jobs = {amp: Job(runners["ours"], "product", {"amp": amp}, setup.threads) for amp in precisions()}
        for amp, rate in turns(jobs, config.rounds).items():
            yield row("machine", f"{amp} matrix product, {setup.threads} threads", [each / 1e9 for each in rate], "GFLOP/s")
