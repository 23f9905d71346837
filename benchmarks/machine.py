"""The machine that the benchmark runs on, and its peak matmul rate."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import torch
from omegaconf import DictConfig

from benchmarks.material import Setup, precisions
from benchmarks.runner import Job, alternate, open_runners
from benchmarks.table import Row, row


def describe_machine(cores: int) -> dict[str, Any]:
    """The CPU, its features, and the number of cores used."""
    capabilities = torch.cpu.get_capabilities()
    features = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16")
    return {
        "cpu": capabilities.get("cpu_name", platform.processor()),
        "features": [name for name in features if capabilities.get(name)],
        "cores": cores,
        "system": platform.platform(),
        "precisions": precisions(),
    }


def matmul_rates(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """The rate of a square matmul, an upper limit for everything else."""
    with open_runners(setup, "ours") as runners:
        jobs = {
            amp: Job(runners["ours"], "matmul", {"amp": amp}, setup.threads) for amp in precisions()
        }
        for amp, rates in alternate(jobs, config.rounds).items():
            gigaflops = [rate / 1e9 for rate in rates]
            yield row("machine", f"{amp} matmul, {setup.threads} threads", gigaflops, "GFLOP/s")
