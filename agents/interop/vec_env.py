"""Our vector environment as the ``VecEnv`` of Stable-Baselines3.

One reward query per step for all environments, where ``DummyVecEnv`` over single environments takes
one for each. The episodes are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from textgen_env.envs.simulator import action_mask
from textgen_env.envs.vector import FINAL_OBSERVATION, TextGenVectorEnv
from textgen_env.envs.wrappers import FlatObservation
from textgen_env.tasks.task import Task


class TextVecEnv(VecEnv):
    """``count`` environments of ``task``.

    Args:
        task: The task.
        count: Number of environments.
        flat: Whether an observation is one array, as with ``FlatObservation``.
        options: Options of ``TextGenVectorEnv``, such as ``reward`` and ``oracle``.
    """

    def __init__(self, task: Task, count: int, flat: bool = False, **options: Any) -> None:
        self.envs = TextGenVectorEnv(task, count, autoreset_mode="SameStep", **options)
        space: Any = self.envs.single_observation_space
        self.render_mode, self.flat = None, flat
        self.mask = action_mask(task).astype(bool)
        super().__init__(
            count,
            FlatObservation.flat_space(space) if flat else space,
            self.envs.single_action_space,
        )

    def reset(self) -> Any:
        """Start an episode in every environment."""
        observation, _ = self.envs.reset(seed=self._seeds)
        self._reset_seeds()
        self._reset_options()
        return self._convert(observation)

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions of the next ``step_wait``."""
        self.actions = actions

    def step_wait(self) -> Any:
        """Append one token in every environment; those that end start again."""
        observation, rewards, terminated, truncated, final = self.envs.step(self.actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(terminated | truncated):
            infos[row]["terminal_observation"] = self._convert(final[FINAL_OBSERVATION][row])
            infos[row]["TimeLimit.truncated"] = bool(truncated[row] and not terminated[row])
        return self._convert(observation), rewards, terminated | truncated, infos

    def action_masks(self) -> np.ndarray:
        """The allowed tokens, bool ``[V]``; sb3-contrib calls it."""
        return self.mask

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method once; its result counts for each of ``indices``."""
        return [getattr(self, method_name)(*args, **kwargs)] * len(self._rows(indices))

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute, once for each of ``indices``."""
        return [getattr(self, attr_name)] * len(self._rows(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: the environments share their attributes."""
        raise NotImplementedError(f"{attr_name}: build another TextVecEnv")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """False for each of ``indices``."""
        return [False] * len(self._rows(indices))

    def close(self) -> None:
        """Nothing to close."""

    def _rows(self, indices: Any) -> list[int]:
        return list(self._get_indices(indices))

    def _convert(self, observation: Any) -> Any:
        return FlatObservation.flatten(observation) if self.flat else observation
