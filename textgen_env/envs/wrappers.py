"""Observation wrappers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from textgen_env.envs.dynamics import EnvState
from textgen_env.envs.simulator import Observation


class FlatObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """The observation as one ``Box(int64)`` ``[S + T + 2]``, for tools without ``Dict`` support.

    It concatenates source, source_length, prefix and prefix_length. ``unflatten`` is the inverse.
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        assert isinstance(env.observation_space, spaces.Dict)
        self.observation_space = self.flat_space(env.observation_space)

    def observation(self, observation: Observation) -> NDArray[np.int64]:
        """Flatten one observation."""
        return self.flatten(observation)

    @staticmethod
    def flat_space(space: spaces.Dict) -> spaces.Box:
        """The space of flat observations; the last entry of ``high`` is the horizon T."""
        low, high = (
            np.concatenate([getattr(space[name], bound) for name in EnvState._fields])
            for bound in ("low", "high")
        )
        return spaces.Box(low, high, dtype=np.int64)

    @staticmethod
    def flatten(observation: Observation) -> NDArray[np.int64]:
        """Flatten one observation or a batch: ``[…, S + T + 2]``."""
        return np.concatenate([observation[name] for name in EnvState._fields], axis=-1)

    @staticmethod
    def unflatten(flat: Any, source_limit: int) -> dict[str, Any]:
        """Split a flat array or tensor ``[…, S + T + 2]`` into views; ``source_limit`` is S."""
        cuts = [0, source_limit, source_limit + 1, flat.shape[-1] - 1, flat.shape[-1]]
        return {
            name: flat[..., start:stop]
            for name, (start, stop) in zip(EnvState._fields, pairwise(cuts), strict=True)
        }
