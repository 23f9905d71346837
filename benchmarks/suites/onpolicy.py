"""The cost of on-policy distillation relative to maximum likelihood on the same tokens."""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import DictConfig

from benchmarks.material import Setup, precisions
from benchmarks.runner import Job, alternate, open_runners
from benchmarks.table import Row, ratio, row


def run_suite(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """ImitKD with either label and all rows replaced, and its parts: roll-in, teacher, gradient."""
    student, teacher = config.sizes[0], config.sizes[-1]
    alone = {"student": student, "amp": precisions()[-1]}
    both = alone | {"teacher": teacher}
    works = {
        "mle": ("step", both | {"algorithm": "mle"}),
        "imitkd step": ("step", both | {"algorithm": "imitkd"}),
        "imitkd_full step": ("step", both | {"algorithm": "imitkd_full"}),
        "greedy roll-in": ("roll_in", alone | {"top_k": 1}),
        "top-5 roll-in": ("roll_in", alone | {"top_k": 5}),
        f"{teacher} teacher's actions": ("query", both | {"method": "action"}),
        f"{teacher} teacher's distributions": ("query", both | {"method": "log_probs"}),
    }
    with open_runners(setup, "distilling") as runners:
        jobs = {
            name: Job(runners["distilling"], *work, setup.threads) for name, work in works.items()
        }
        rates = alternate(jobs, config.rounds)
    mle = rates.pop("mle")
    baseline = f"{student} mle step on the same tokens"
    yield row("onpolicy", baseline, [1e3 / rate for rate in mle], "ms")
    for name, rate in rates.items():
        goal = "≤ 2.2" if name.endswith("step") else ""
        yield row("onpolicy", f"{student} {name} / {baseline}", ratio(mle, rate), goal=goal)
