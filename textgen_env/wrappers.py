"""Other views of the environment."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from textgen_env.dynamics import State
from textgen_env.shell import Observation


class FlatObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """The observation as one ``Box(int64)`` ``[S + T + 2]``, for tools that reject ``Dict`` (imitation's DAgger): source,
    source_length, prefix, prefix_length.  ``unflatten`` is the way back.
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        parts = env.observation_space
        assert isinstance(parts, spaces.Dict)
        low, high = (np.concatenate([getattr(parts[name], side) for name in State._fields]) for side in ("low", "high"))
        self.observation_space = spaces.Box(low, high, dtype=np.int64)

    def observation(self, observation: Observation) -> NDArray[np.int64]:
        return np.concatenate([observation[name] for name in State._fields])

    @staticmethod
    def unflatten(flat: Any, source_limit: int) -> dict[str, Any]:
        """``[…, S + T + 2]``, array or tensor → the four parts, views of it.  ``source_limit`` = S."""
        cuts = [0, source_limit, source_limit + 1, flat.shape[-1] - 1, flat.shape[-1]]
        return {name: flat[..., start:stop] for name, (start, stop) in zip(State._fields, pairwise(cuts), strict=True)}
