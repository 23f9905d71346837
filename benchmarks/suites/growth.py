"""How decoding grows with what is written: slope 1 is linear, 2 what decoding without a cache costs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from omegaconf import DictConfig

from benchmarks.material import Setup, precisions
from benchmarks.runner import Job, opened, turns
from benchmarks.table import Row, row


def measure(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """The time of greedy decoding by ``config.lengths``, and its slope on two logarithmic axes, of the first size."""
    size, lengths = config.sizes[0], list(config.lengths)
    work = {"size": size, "amp": precisions()[-1], "rows": config.batch, "width": 1, "count": 1}
    with opened(setup, "ours") as runners:
        jobs = {steps: Job(runners["ours"], "decode", {**work, "steps": steps}, setup.threads) for steps in lengths}
        rates = turns(jobs, config.rounds)  # tokens a second
    seconds = {steps: [config.batch * steps / each for each in rates[steps]] for steps in lengths}
    slopes = [slope(lengths, taken) for taken in zip(*seconds.values(), strict=True)]
    yield row("growth", f"{size} log-log slope of the time, {lengths[0]} to {lengths[-1]} steps", slopes, "", "≤ 1.15")
    for steps, taken in seconds.items():
        yield row("growth", f"{size} {steps} steps, batch {config.batch}", [1e3 * each / steps for each in taken], "ms/step")


def slope(x: list[int], y: tuple[float, ...]) -> float:
    """Of the straight line through log x, log y."""
    return statistics.linear_regression([math.log(each) for each in x], [math.log(each) for each in y]).slope
