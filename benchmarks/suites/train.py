"""Training: forward, loss, backward and Adam on the same batches."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from omegaconf import DictConfig

from benchmarks.material import Setup, precisions
from benchmarks.runner import Job, Runner, alternate, open_runners
from benchmarks.table import Row, ratio, row

# size → goal against Hugging Face, goal for the share of the matmul rate
GOALS = {"2+2": ("≥ 2.8", "≥ 40"), "8+8": ("≥ 2.5", "≥ 50")}
PER_TOKEN = "imitation_bc"  # one forward pass per token: runs with the small model only


def run_suite(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """Ours against the others, each at its faster precision, and against the CPU's matmul rate."""
    with open_runners(setup, "ours", "nn_transformer", "huggingface", PER_TOKEN) as runners:
        for size in config.sizes:
            selected = {
                name: runner
                for name, runner in runners.items()
                if name != PER_TOKEN or size == config.sizes[0]
            }
            yield from compare_training(size, selected, config.rounds, setup.threads)


def compare_training(
    size: str, runners: dict[str, Runner], repeats: int, threads: int
) -> Iterator[Row]:
    """The rows of one model size."""
    jobs = {}
    for amp in precisions():
        jobs["matmul", amp] = Job(runners["ours"], "matmul", {"amp": amp}, threads)
        for name, runner in runners.items():
            jobs[name, amp] = Job(runner, "train", {"size": size, "amp": amp}, threads)
    rates, (peer_goal, matmul_goal) = alternate(jobs, repeats), GOALS[size]
    best_rates = {
        name: max((rates[name, amp] for amp in precisions()), key=statistics.median)
        for name in runners
    }
    for name in runners:
        for amp in precisions():
            yield row("train", f"{size} {name} {amp}", rates[name, amp], "tokens/s")
    for name in (name for name in runners if name != "ours"):
        what = f"{size} ours / {name}, each at its faster precision"
        goal = peer_goal if name == "huggingface" else ""
        yield row("train", what, ratio(best_rates["ours"], best_rates[name]), goal=goal)
    flops = runners["ours"].call("flops", size=size)
    for amp in precisions():
        share = [100 * flops * part for part in ratio(rates["ours", amp], rates["matmul", amp])]
        goal = matmul_goal if amp == "bf16" else ""
        yield row("train", f"{size} ours {amp}, share of the {amp} matmul rate", share, "%", goal)
