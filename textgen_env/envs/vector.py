"""Many episodes in lockstep: ``TextGenEnv`` on arrays, the oracle queried once a step for all of them.

It does what gymnasium's ``SyncVectorEnv`` over single environments does, episode for episode and seed for seed.
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

from textgen_env.envs import rewards
from textgen_env.envs.game import (
    OVER,
    Game,
    Observation,
    allowed,
    check_switches,
    checked_seed,
    observation_space,
)
from textgen_env.errors import Range, UserError, check_range, unknown
from textgen_env.tasks.task import Task
from textgen_env.types import Oracle

try:
    from gymnasium.vector import AutoresetMode, VectorEnv  # type: ignore[attr-defined]
except (
    ImportError
):  # gymnasium 0.29: its make_vec builds on the class that became 1.0's, and there are no modes yet
    from gymnasium.experimental.vector import VectorEnv  # type: ignore[assignment,no-redef]

    class AutoresetMode(Enum):  # type: ignore[no-redef]
        """When an episode that is over makes way for the next."""

        NEXT_STEP = "NextStep"
        SAME_STEP = "SameStep"
        DISABLED = "Disabled"


LEGACY = gym.__version__.startswith("0.")
FINAL_OBSERVATION = "final_observation" if LEGACY else "final_obs"
MOST_ENVS = 1_000_000
Infos = dict[str, Any]
Seed = int | Sequence[int | None] | None


class TextGenVectorEnv(VectorEnv):
    """``num_envs`` episodes; observations, actions, rewards and ``info`` as in ``TextGenEnv`` with a leading ``[B]``.

    Arguments are those of ``TextGenEnv`` without ``render_mode`` (watch one episode with ``gymnasium.make``), and

    text: "never" by default here: scoring thousands of texts takes longer than generating them.
    autoreset_mode: ``NEXT_STEP`` (the step after the end resets and is no transition: its action is ignored, its reward 0),
    ``SAME_STEP`` (the last observation is in ``info``; the default on gymnasium 0.29, where it is the custom) or ``DISABLED``
    (call ``reset(options={"reset_mask": bool [B]})``); the enum or its value.
    action_mask: in ``info`` one row stands for all slots, read-only: copy it to change it.
    copy: give arrays that no later step changes; without, the environment's own, to be read before the next step.

    Seeds: ``reset(seed=s)`` seeds episode slot i with s + i, a list gives one each; later resets draw on.
    ``reset(options={"index": …})`` takes one row for all or ``[B]`` rows, in the order of the slots.
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
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer):
            raise UserError(f"num_envs={num_envs!r}: a whole number expected")
        check_range("num_envs", num_envs, Range(1, MOST_ENVS))
        check_switches(expert=expert, action_mask=action_mask, copy=copy)
        self.mode = _mode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.mode}
        self.task, self.num_envs, self.copy = task, num_envs, copy
        self._game = Game(task, num_envs, split, reward, oracle, text)
        self.split, self.oracle, self.reward, self.text = (
            split,
            self._game.oracle,
            self._game.reward,
            text,
        )
        self.single_observation_space = observation_space(task)
        self.single_action_space = spaces.Discrete(len(task.vocabulary))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._mask = allowed(task) if action_mask else None
        self._expert = expert
        self._generators: list[np.random.Generator] = []
        self._seeds: list[int] = []

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """Each slot's generator."""
        return tuple(self._generators)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """What each slot's generator was seeded with."""
        return tuple(self._seeds)

    def reset(
        self, *, seed: Seed = None, options: Infos | None = None
    ) -> tuple[Observation, Infos]:  # type: ignore[override]
        options = dict(options or {})
        slots = _reset_slots(options.pop("reset_mask", None), self.num_envs)
        self._seed(slots, seed)
        infos: Infos = {}
        self._begin(slots, options, infos)
        self._arrive(slots, infos)
        return self._observation(), infos

    def step(  # type: ignore[override]
        self, actions: np.ndarray
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, Infos]:
        starting = np.flatnonzero(self._game.over)
        if len(starting) and (not self._generators or self.mode is not AutoresetMode.NEXT_STEP):
            raise ResetNeeded(f"slots {starting[:5].tolist()}: {OVER}")
        reward, terminated, truncated = self._game.act(actions)
        ended, infos = np.flatnonzero(terminated | truncated), Infos()
        self._conclude(ended, infos)
        self._begin(ended if self.mode is AutoresetMode.SAME_STEP else starting, {}, infos)
        self._arrive(np.arange(self.num_envs), infos)
        return self._observation(), reward, terminated, truncated, infos

    def _seed(self, slots: np.ndarray, seed: Seed) -> None:
        if not isinstance(seed, Sequence | np.ndarray):
            first = checked_seed(seed)
            seed = [None if first is None else first + slot for slot in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise UserError(
                f"{len(seed)} seeds for {self.num_envs} episodes; give one each, or one number"
            )
        seed = [checked_seed(value) for value in seed]
        if not self._generators:
            drawn = [seeding.np_random() for _ in range(self.num_envs)]
            self._generators, self._seeds = (
                [generator for generator, _ in drawn],
                [seed for _, seed in drawn],
            )
        for slot in slots:
            if seed[slot] is not None:
                self._generators[slot], self._seeds[slot] = seeding.np_random(seed[slot])

    def _begin(self, slots: np.ndarray, options: Infos, infos: Infos) -> None:
        """New episodes in ``slots``."""
        if not len(slots):
            return
        index: Any = options.get("index")
        if np.ndim(index):
            if len(index) != self.num_envs:
                raise UserError(
                    f"reset option index: {len(index)} rows for {self.num_envs} episodes; give one each"
                )
            chosen = [{**options, "index": index[slot]} for slot in slots]
        else:
            chosen = [options] * len(slots)
        self._game.begin(
            slots,
            [
                self._game.draw(self._generators[i], row)
                for i, row in zip(slots, chosen, strict=True)
            ],
        )
        self._inform(infos, "index", slots, self._game.index[slots])

    def _conclude(self, slots: np.ndarray, infos: Infos) -> None:
        """``info`` of the episodes in ``slots``, which are over."""
        for slot in slots:
            info: Infos = {} if self.text == "never" else self._game.closing(slot)
            if self.mode is AutoresetMode.SAME_STEP:
                if self.text == "always":
                    info["text"] = info["hypothesis"]
                if self._mask is not None:
                    info["action_mask"] = self._mask.copy()
                info = {FINAL_OBSERVATION: self._game.observation(slot), "final_info": info}
            self._add_info(infos, info, int(slot))

    def _arrive(self, slots: np.ndarray, infos: Infos) -> None:
        """``info`` of the states that ``slots`` are in."""
        if self._expert:
            acting = slots[~self._game.over[slots]]
            if len(acting):
                self._inform(infos, "expert_action", acting, self._game.advise(acting))
        if self._mask is not None:
            self._inform(
                infos,
                "action_mask",
                slots,
                np.broadcast_to(self._mask, (len(slots), len(self._mask))),
            )
        if self.text == "always":
            for slot in slots:
                self._add_info(infos, {"text": self._game.text(slot)}, int(slot))

    def _inform(self, infos: Infos, name: str, slots: np.ndarray, value: np.ndarray) -> None:
        """``infos[name]`` with ``value`` in ``slots``, and which slots those are: gymnasium's form."""
        present = np.zeros(self.num_envs, dtype=bool)
        present[slots] = True
        if len(slots) < self.num_envs:
            value, part = np.zeros((self.num_envs, *value.shape[1:]), dtype=value.dtype), value
            value[slots] = part
        infos[name], infos[f"_{name}"] = value, present

    def _observation(self) -> Observation:
        return (self._game.state.copy() if self.copy else self._game.state)._asdict()


def _mode(mode: AutoresetMode | str | None) -> AutoresetMode:
    if mode is None:
        return AutoresetMode.SAME_STEP if LEGACY else AutoresetMode.NEXT_STEP
    try:
        return AutoresetMode(mode)
    except ValueError:
        raise unknown("autoreset_mode", mode, [known.value for known in AutoresetMode]) from None


def _reset_slots(mask: Any, num_envs: int) -> np.ndarray:
    """The slots to reset: those of ``mask``, or all."""
    if mask is None:
        return np.arange(num_envs)
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape != (num_envs,) or not mask.any():
        raise UserError(
            f"reset_mask: give bool [{num_envs}] with at least one True, not {mask.dtype} {list(mask.shape)}"
        )
    return np.flatnonzero(mask)
