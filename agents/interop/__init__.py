"""Other libraries on our environments and policies: trainers of Stable-Baselines3 and imitation, inference in CTranslate2.

A trainer is a function ``(student, task, oracle, settings) -> steps``: it trains ``student`` in place and returns how many
environment steps it took.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import NamedTuple

from textgen_env.errors import UserError, unknown

TRAINERS = {  # name → module of this package; all but sb3 are also the extra that installs what it imports
    "sb3_ppo": "sb3",
    "sb3_a2c": "sb3",
    "sb3_maskable_ppo": "contrib",
    "imitation_bc": "imitation",
    "imitation_dagger": "imitation",
}


class Settings(NamedTuple):
    """The settings that every trainer takes.

    steps: minimum number of environment steps.  lr: learning rate (Adam).  epochs: passes over the collected data.
    batch: states per gradient step.  envs: parallel environments.  gamma: discount.  reward: name of the reward.
    seed: of the trainer.  device: torch device.
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


def trainer(name: str) -> Callable[..., int]:
    """The trainer ``name``; its library is imported only here.

    Raises:
        UserError: There is no such trainer, or its library is not installed.
    """
    if name not in TRAINERS:
        raise unknown("trainer", name, TRAINERS)
    module = TRAINERS[name]
    try:
        return getattr(importlib.import_module(f"{__name__}.{module}"), name.partition("_")[2])  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        package = {"sb3": "stable_baselines3", "contrib": "sb3_contrib"}.get(module, module)
        install = f"python -m pip install -c constraints.txt -e '.[{module}]'"
        raise UserError(
            f"trainer={name} needs {package}, which is not installed: {install}"
        ) from error
