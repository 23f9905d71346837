"""The vector environment: many episodes on arrays, with one oracle query per step for all of them.

It is equivalent to gymnasium's ``SyncVectorEnv`` over single environments with the same seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector.utils import batch_space

from textgen_env.envs import rewards, simulator
from textgen_env.envs.simulator import Observation, Simulator
from textgen_env.errors import Range, UserError, check_kind, check_range, unknown
from textgen_env.tasks.task import Task
from textgen_env.types import Oracle

try:
    from gymnasium.vector import AutoresetMode, VectorEnv  # type: ignore[attr-defined]
except ImportError:  # gymnasium 0.29 has no autoreset modes, and this class became 1.0's VectorEnv
    from gymnasium.experimental.vector import VectorEnv  # type: ignore[assignment,no-redef]

    class AutoresetMode(Enum):  # type: ignore[no-redef]
        """When a slot whose episode has ended is reset."""

        NEXT_STEP = "NextStep"
        SAME_STEP = "SameStep"
        DISABLED = "Disabled"


LEGACY = gym.__version__.startswith("0.")
FINAL_OBSERVATION = "final_observation" if LEGACY else "final_obs"
MAX_ENVS = 1_000_000
Infos = dict[str, Any]
Seed = int | Sequence[int | None] | None


class TextGenVectorEnv(VectorEnv):
    """``num_envs`` episodes; like ``TextGenEnv``, with a leading ``[B]`` in every array.

    ``reset(seed=s)`` seeds slot i with s + i, a list seeds each slot, and later resets continue
    these generators. ``reset(options={"index": …})`` takes one row for all slots or ``[B]`` rows.
    In ``info``, ``action_mask`` is one read-only row that all slots share.

    Args:
        task, split, reward, oracle, expert, action_mask: as in ``TextGenEnv``
        num_envs: B, the number of slots
        text: as in ``TextGenEnv``, by default ``never``: scoring takes longer than stepping
        autoreset_mode: the enum or its value. ``NEXT_STEP`` (default): the step after the end of an
            episode resets the slot; its action is ignored and its reward is 0. ``SAME_STEP``
            (default in gymnasium 0.29): the step that ends an episode also resets the slot; the
            last observation is in ``info``. ``DISABLED``: the caller resets, with
            ``reset(options={"reset_mask": bool [B]})``.
        copy: return copies of the observation arrays; otherwise the next step overwrites them
    """

    def __init__(
        self,
        task: Task,
        num_envs: int = 1,
        split: str = "train",
        reward: str | rewards.Function | None = None,
        oracle: Oracle | None = None,
        expert: bool = False,
        action_mask: bool = False,
        text: Literal["never", "end", "always"] = "never",
        autoreset_mode: AutoresetMode | str | None = None,
        copy: bool = True,
    ) -> None:
        check_kind("num_envs", num_envs, 1)
        check_range("num_envs", num_envs, Range(1, MAX_ENVS))
        simulator.check_flags(expert=expert, action_mask=action_mask, copy=copy)
        self.mode = _autoreset_mode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.mode}
        self.task, self.num_envs, self.split = task, num_envs, split
        self.text, self.copy = text, copy
        self._simulator = Simulator(task, num_envs, split, reward, oracle, text)
        self.oracle, self.reward = self._simulator.oracle, self._simulator.reward
        self.single_observation_space = simulator.observation_space(task)
        self.single_action_space = spaces.Discrete(len(task.vocabulary))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._action_mask = simulator.action_mask(task) if action_mask else None
        self._expert = expert
        self._generators: list[np.random.Generator] = []
        self._seeds: list[int] = []

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each slot."""
        return tuple(self._generators)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each slot's generator."""
        return tuple(self._seeds)

    def reset(
        self, *, seed: Seed = None, options: Infos | None = None
    ) -> tuple[Observation, Infos]:  # type: ignore[override]
        """Start an episode in every slot, or in those of the option ``reset_mask``."""
        options = dict(options or {})
        slots = _reset_slots(options.pop("reset_mask", None), self.num_envs)
        self._seed(slots, seed)
        infos: Infos = {}
        self._start(slots, options, infos)
        self._add_state_info(slots, infos)
        return self._observation(), infos

    def step(  # type: ignore[override]
        self, actions: np.ndarray
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, Infos]:
        """Append one token in every slot, and reset slots according to ``autoreset_mode``."""
        over = np.flatnonzero(self._simulator.over)
        if len(over) and (not self._generators or self.mode is not AutoresetMode.NEXT_STEP):
            raise ResetNeeded(f"slots {over[:5].tolist()}: {simulator.EPISODE_OVER}")
        reward, terminated, truncated = self._simulator.step(actions)
        ended, infos = np.flatnonzero(terminated | truncated), Infos()
        self._add_final_info(ended, infos)
        self._start(ended if self.mode is AutoresetMode.SAME_STEP else over, {}, infos)
        self._add_state_info(np.arange(self.num_envs), infos)
        return self._observation(), reward, terminated, truncated, infos

    def _seed(self, slots: np.ndarray, seed: Seed) -> None:
        if not isinstance(seed, Sequence | np.ndarray):
            first = simulator.checked_seed(seed)
            seed = [None if first is None else first + slot for slot in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise UserError(
                f"{len(seed)} seeds for {self.num_envs} episodes; give one per episode, or an int"
            )
        seed = [simulator.checked_seed(value) for value in seed]
        if not self._generators:
            pairs = [seeding.np_random() for _ in range(self.num_envs)]
            self._generators = [generator for generator, _ in pairs]
            self._seeds = [initial for _, initial in pairs]
        for slot in slots:
            if seed[slot] is not None:
                self._generators[slot], self._seeds[slot] = seeding.np_random(seed[slot])

    def _start(self, slots: np.ndarray, options: Infos, infos: Infos) -> None:
        """Start new episodes in ``slots``."""
        if not len(slots):
            return
        index: Any = options.get("index")
        if np.ndim(index):
            if len(index) != self.num_envs:
                raise UserError(
                    f"reset option index: {len(index)} rows for {self.num_envs} episodes; "
                    "give one per episode"
                )
            slot_options = [{**options, "index": index[slot]} for slot in slots]
        else:
            slot_options = [options] * len(slots)
        episodes = [
            self._simulator.sample(self._generators[slot], chosen)
            for slot, chosen in zip(slots, slot_options, strict=True)
        ]
        self._simulator.start(slots, episodes)
        self._add_array(infos, "index", slots, self._simulator.index[slots])

    def _add_final_info(self, slots: np.ndarray, infos: Infos) -> None:
        """Add the ``info`` of the episodes that ended in ``slots``."""
        for slot in slots:
            info: Infos = {} if self.text == "never" else self._simulator.final_info(slot)
            if self.mode is AutoresetMode.SAME_STEP:
                if self.text == "always":
                    info["text"] = info["hypothesis"]
                if self._action_mask is not None:
                    info["action_mask"] = self._action_mask.copy()
                observation = self._simulator.observation(slot)
                info = {FINAL_OBSERVATION: observation, "final_info": info}
            self._add_info(infos, info, int(slot))

    def _add_state_info(self, slots: np.ndarray, infos: Infos) -> None:
        """Add the ``info`` of the current states of ``slots``."""
        if self._expert:
            running = slots[~self._simulator.over[slots]]
            if len(running):
                expert_action = self._simulator.query_action(running)
                self._add_array(infos, "expert_action", running, expert_action)
        if (mask := self._action_mask) is not None:
            masks = np.broadcast_to(mask, (len(slots), len(mask)))
            self._add_array(infos, "action_mask", slots, masks)
        if self.text == "always":
            for slot in slots:
                self._add_info(infos, {"text": self._simulator.text(slot)}, int(slot))

    def _add_array(self, infos: Infos, name: str, slots: np.ndarray, values: np.ndarray) -> None:
        """Add the values of ``slots`` as gymnasium does: an array and the mask ``_name``."""
        present = np.zeros(self.num_envs, dtype=bool)
        present[slots] = True
        if len(slots) < self.num_envs:
            array = np.zeros((self.num_envs, *values.shape[1:]), dtype=values.dtype)
            array[slots] = values
            values = array
        infos[name], infos[f"_{name}"] = values, present

    def _observation(self) -> Observation:
        state = self._simulator.state
        return (state.copy() if self.copy else state)._asdict()


def _autoreset_mode(mode: AutoresetMode | str | None) -> AutoresetMode:
    if mode is None:
        return AutoresetMode.SAME_STEP if LEGACY else AutoresetMode.NEXT_STEP
    try:
        return AutoresetMode(mode)
    except ValueError:
        valid = [member.value for member in AutoresetMode]
        raise unknown("autoreset_mode", mode, valid) from None


def _reset_slots(mask: Any, num_envs: int) -> np.ndarray:
    """The slots where ``mask`` is True; all slots if it is None."""
    if mask is None:
        return np.arange(num_envs)
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape != (num_envs,) or not mask.any():
        raise UserError(
            f"reset_mask: expected bool [{num_envs}] with at least one True, "
            f"got {mask.dtype} {list(mask.shape)}"
        )
    return np.flatnonzero(mask)
