"""What the benchmark runs on, and how fast it is at best."""

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
    """The CPU, its features, and how many cores are used."""
    able = torch.cpu.get_capabilities()
    features = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if able.get(name)]
    name = able.get("cpu_name", platform.processor())
    return {
        "cpu": name,
        "features": features,
        "cores": cores,
        "system": platform.platform(),
        "precisions": precisions(),
    }


def matmul_rates(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """Floating-point operations a second of a square matmul: what everything else is a share of."""
    with opened(setup, "ours") as runners:
        jobs = {
            amp: Job(runners["ours"], "matmul", {"amp": amp}, setup.threads) for amp in precisions()
        }
        for amp, rates in turns(jobs, config.rounds).items():
            yield row(
                "machine",
                f"{amp} matmul, {setup.threads} threads",
                [rate / 1e9 for rate in rates],
                "GFLOP/s",
            )
