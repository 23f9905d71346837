"""Other people's trainers on our environments and our policies, as they are: what each of them needs to be handed.

A module's ``NAMES`` are trainers ``(student, task, oracle, settings) -> steps``: they train ``student`` in place and say in
how many environment steps.
"""

from __future__ import annotations

from typing import NamedTuple


class Settings(NamedTuple):
    """What every trainer is told.

    steps: environment steps to take, at least.  lr: learning rate (Adam).  epochs: passes over what was collected.
    batch: states in a gradient step.  envs: environments side by side.  gamma: discount of the rewards.  reward: its name.
    seed: of the trainer.  device: torch's.
    """

    steps: int
    lr: float
    epochs: int
    batch: int
    envs: int
    gamma: float
    reward: str
    seed: int
    device: str
