"""Other libraries on our environments and policies: trainers, and inference in CTranslate2.

A trainer is a function ``(student, task, oracle, settings) -> steps``. It trains ``student`` in
place and returns the number of environment steps.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import NamedTuple

from textgen_env.errors import UserError, unknown

TRAINERS = {  # name → module here; its name is also that of the extra, except for sb3
    "sb3_ppo": "sb3",
    "sb3_a2c": "sb3",
    "sb3_maskable_ppo": "contrib",
    "imitation_bc": "imitation",
    "imitation_dagger": "imitation",
}


class TrainerSettings(NamedTuple):
    """Settings of all trainers.

    Args:
        steps: Minimum number of environment steps.
        lr: Learning rate of Adam; with Stable-Baselines3, it decays linearly to 0.
        epochs: Passes over the collected data.
        batch: States per gradient step.
        envs: Parallel environments.
        gamma: Discount factor.
        entropy: Weight of the entropy bonus; without effect in imitation.
        reward: Name of the reward.
        seed: The trainer's seed.
        device: Torch device.
    """

    steps: int
    lr: float
    epochs: int
    batch: int
    envs: int
    gamma: float
    entropy: float
    reward: str
    seed: int
    device: str


def load_trainer(name: str) -> Callable[..., int]:
    """Import the library of a trainer and return the trainer.

    Raises:
        UserError: There is no such trainer, or its library is not installed.
    """
    if name not in TRAINERS:
        raise unknown("trainer", name, TRAINERS)
    module = TRAINERS[name]
    try:
        implementation = importlib.import_module(f"{__name__}.{module}")
        return getattr(implementation, name.partition("_")[2])  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        package = {"sb3": "stable_baselines3", "contrib": "sb3_contrib"}.get(module, module)
        install = f"python -m pip install -c constraints.txt -e '.[{module}]'"
        raise UserError(
            f"trainer={name} needs {package}, which is not installed: {install}"
        ) from error
