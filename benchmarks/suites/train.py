"""Training: forward, loss, backward and Adam on the same token batches."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from omegaconf import DictConfig

from benchmarks.material import Setup, precisions
from benchmarks.runner import Job, Runner, opened, turns
from benchmarks.table import Row, ratio, row

GOALS = {
    "2+2": ("≥ 2.8", "≥ 40"),
    "8+8": ("≥ 2.5", "≥ 50"),
}  # against Hugging Face; share of the matmul rate
PER_TOKEN = "imitation_bc"  # learns a token at the price of a sentence: with the small model only


def measure(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """Ours against everybody else, each at its better precision, and against the CPU's matmul."""
    with opened(setup, "ours", "nn_transformer", "huggingface", PER_TOKEN) as runners:
        for size in config.sizes:
            taking_part = {
                name: runner
                for name, runner in runners.items()
                if name != PER_TOKEN or size == config.sizes[0]
            }
            yield from compare(size, taking_part, config.rounds, setup.threads)


def compare(size: str, runners: dict[str, Runner], rounds: int, threads: int) -> Iterator[Row]:
    """The rows of one size."""
    jobs = {}
    for amp in precisions():
        jobs["matmul", amp] = Job(runners["ours"], "matmul", {"amp": amp}, threads)
        for name, runner in runners.items():
            jobs[name, amp] = Job(runner, "train", {"size": size, "amp": amp}, threads)
    rates, goals = turns(jobs, rounds), GOALS[size]
    better = {
        name: max(precisions(), key=lambda amp: statistics.median(rates[name, amp]))
        for name in runners
    }
    for name in runners:
        for amp in precisions():
            yield row("train", f"{size} {name} {amp}", rates[name, amp], "tokens/s")
    for name in (name for name in runners if name != "ours"):
        goal = goals[0] if name == "huggingface" else ""
        over, under = rates["ours", better["ours"]], rates[name, better[name]]
        yield row(
            "train",
            f"{size} ours / {name}, each at its better precision",
            ratio(over, under),
            goal=goal,
        )
    flops = runners["ours"].call("flops", size=size)
    for amp in precisions():
        share = [100 * flops * part for part in ratio(rates["ours", amp], rates["matmul", amp])]
        yield row(
            "train",
            f"{size} ours {amp}, share of the {amp} matmul rate",
            share,
            "%",
            goals[1] if amp == "bf16" else "",
        )
