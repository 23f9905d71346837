"""Other views of the environment."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from textgen_env.envs.dynamics import State
from textgen_env.envs.game import Observation


class FlatObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """The observation as one ``Box(int64)`` ``[S + T + 2]``, for tools that reject ``Dict`` (imitation's DAgger): source,
    source_length, prefix, prefix_length.  ``unflatten`` is the way back.
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        assert isinstance(env.observation_space, spaces.Dict)
        self.observation_space = self.flat_space(env.observation_space)

    def observation(self, observation: Observation) -> NDArray[np.int64]:
        return self.flatten(observation)

    @staticmethod
    def flat_space(parts: spaces.Dict) -> spaces.Box:
        """The space of flat observations; its last ``high`` is the horizon T."""
        low, high = (
            np.concatenate([getattr(parts[name], side) for name in State._fields])
            for side in ("low", "high")
        )
        return spaces.Box(low, high, dtype=np.int64)

    @staticmethod
    def flatten(observation: Observation) -> NDArray[np.int64]:
        """One observation or a batch: ``[…, S + T + 2]``."""
        return np.concatenate([observation[name] for name in State._fields], axis=-1)

    @staticmethod
    def unflatten(flat: Any, source_limit: int) -> dict[str, Any]:
        """``[…, S + T + 2]``, array or tensor → the four parts, views of it.  ``source_limit`` = S."""
        cuts = [0, source_limit, source_limit + 1, flat.shape[-1] - 1, flat.shape[-1]]
        return {
            name: flat[..., start:stop]
            for name, (start, stop) in zip(State._fields, pairwise(cuts), strict=True)
        }
