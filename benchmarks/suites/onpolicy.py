"""What on-policy distillation costs: every row of a batch replaced, against maximum likelihood of the same tokens."""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import DictConfig

from benchmarks.material import Setup, precisions
from benchmarks.runner import Job, opened, turns
from benchmarks.table import Row, ratio, row


def measure(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """Both labels of ImitKD, and where the time goes: roll-in, teacher, gradient."""
    student, teacher = config.sizes[0], config.sizes[-1]
    sides = {"student": student, "amp": precisions()[-1]}
    both = sides | {"teacher": teacher}
    works = {
        "mle": ("step", both | {"algorithm": "mle"}),
        "imitkd step": ("step", both | {"algorithm": "imitkd"}),
        "imitkd_full step": ("step", both | {"algorithm": "imitkd_full"}),
        "greedy roll-in": ("roll_in", sides | {"top_k": 1}),
        "top-5 roll-in": ("roll_in", sides | {"top_k": 5}),
        f"{teacher} teacher's actions": ("query", both | {"method": "action"}),
        f"{teacher} teacher's distributions": ("query", both | {"method": "log_probs"}),
    }
    with opened(setup, "distilling") as runners:
        jobs = {
            name: Job(runners["distilling"], *work, setup.threads) for name, work in works.items()
        }
        rates = turns(jobs, config.rounds)
    gradient = rates.pop("mle")
    yield row(
        "onpolicy",
        f"{student} mle step of the same tokens",
        [1e3 / rate for rate in gradient],
        "ms",
    )
    for name, rate in rates.items():
        goal = "≤ 2.2" if name.endswith("step") else ""
        yield row(
            "onpolicy",
            f"{student} {name} / mle step of the same tokens",
            ratio(gradient, rate),
            goal=goal,
        )
