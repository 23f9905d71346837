"""Training algorithms, one file per algorithm.

An algorithm turns batches into losses; the trainer does everything else. Each module holds one
class and ``NAMES``, which maps the names on the command line to that class with some arguments
set (``"imitkd": partial(DAgger, labels="action", …)``).

A constructor gets those of ``policy``, ``oracle`` and ``reward`` that it names. Its other
parameters become ``algorithm.*`` keys; their ``Args:`` lines are the help. Take the limit on the
output length from ``batch.limit`` and random numbers from ``clock.uniform``.
"""

from agents.algorithms.base import Algorithm, Clock, Loss

__all__ = ["Algorithm", "Clock", "Loss"]
