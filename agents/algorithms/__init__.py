"""One file an algorithm.  An algorithm turns batches into losses; the trainer does everything else.

A module here holds one class and, in ``NAMES``, the settings under which the command line knows it
(``"imitkd": partial(DAgger, labels="action", …)``).  The constructor names what it needs of ``policy``, ``oracle`` and
``reward``; its other parameters become ``algorithm.*`` keys, their ``Args:`` lines the help.  How much may be generated for
each source is ``batch.limit``; random numbers come from ``clock.uniform``.
"""

from agents.algorithms.base import Algorithm, Clock, Loss

__all__ = ["Algorithm", "Clock", "Loss"]
