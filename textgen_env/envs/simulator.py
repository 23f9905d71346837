"""Episodes in progress: the code that the single and the vector environment share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from textgen_env.envs import dynamics, rewards
from textgen_env.envs.dynamics import EnvState
from textgen_env.errors import UserError, check_kind, unknown
from textgen_env.metrics.scores import sentence_score
from textgen_env.tasks.task import Task, expert
from textgen_env.types import BOS, PAD, Oracle

Observation = dict[str, NDArray[np.int64]]
EPISODE_OVER = "the episode has ended or has not started; call reset() before step()"
TEXT_MODES = ("never", "end", "always")


class Simulator:
    """Runs ``num_envs`` episodes on arrays, in slots that start and end independently.

    Args:
        task: the task
        num_envs: B, the number of slots
        split: the split that episodes are sampled from
        reward: a name or a function; None: the task's default
        oracle: the expert; None: the task's exact one if it has one, otherwise its references
        text: when the output is decoded: never, end (of the episode) or always

    Attributes:
        state: the current states, ``[B, …]``
        over: ``[B]`` bool, slots without a running episode
        expert_action: ``[B]``, the expert's actions at the current states once ``query_action`` has
            been called, otherwise None
    """

    def __init__(
        self,
        task: Task,
        num_envs: int,
        split: str,
        reward: str | rewards.Function | None,
        oracle: Oracle | None,
        text: str,
    ) -> None:
        if text not in TEXT_MODES:
            raise unknown("text", text, TEXT_MODES)
        self.task, self.num_envs, self.split = task, num_envs, checked_split(task, split)
        self.oracle = checked_oracle(task, oracle)
        self.reward = rewards.make(task.reward if reward is None else reward, task, self.oracle)
        no_sources = [np.zeros(0, np.int64)] * num_envs
        self.state = dynamics.initial(no_sources, task.source_limit, task.horizon)
        self.limit = np.ones(num_envs, dtype=np.int64)
        self.over = np.ones(num_envs, dtype=bool)
        self.expert_action: np.ndarray | None = None
        self.splits, self.index = [self.split] * num_envs, np.zeros(num_envs, dtype=np.int64)

    def sample(
        self, generator: np.random.Generator, options: dict[str, Any] | None
    ) -> tuple[str, int]:
        """The (split, index) of a new episode: from the reset ``options``, or else sampled."""
        options = options or {}
        for name in options:
            if name not in ("index", "split"):
                raise unknown("reset option", name, ["index", "split"])
        split = checked_split(self.task, options.get("split", self.split))
        rows = len(self.task.splits[split])
        if "index" not in options:
            return split, int(generator.integers(rows))
        index = options["index"]
        is_integer = isinstance(index, int | np.integer) and not isinstance(index, bool)
        if not is_integer or not 0 <= index < rows:
            raise UserError(
                f"reset option index={index!r}: give an integer from 0 to {rows - 1}, "
                f"a row of split {split!r}"
            )
        return split, int(index)

    def start(self, slots: Sequence[int] | np.ndarray, episodes: Sequence[tuple[str, int]]) -> None:
        """Start new episodes in ``slots``, one ``(split, index)`` for each."""
        for slot, (split, index) in zip(slots, episodes, strict=True):
            self.splits[slot], self.index[slot] = split, index
        sources = [self.task.splits[split].source[index] for split, index in episodes]
        initial = dynamics.initial(sources, self.task.source_limit, self.task.horizon)
        for array, values in zip(self.state, initial, strict=True):
            array[slots] = values
        self.limit[slots] = self.task.limit(initial.source_length[:, 0])
        self.over[slots] = False

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Take one action in every slot; slots without a running episode ignore theirs.

        Returns:
            rewards float64, terminated bool and truncated bool, each ``[B]``.
        """
        action, running = self._checked_actions(actions), ~self.over
        rows = np.flatnonzero(running)
        dynamics.transition(self.state, action, rows, out=self.state)
        terminated = running & dynamics.terminated(action)
        truncated = running & dynamics.truncated(self.state, action, self.limit)
        self.over = terminated | truncated | ~running
        reward = np.zeros(self.num_envs)
        if self.reward.terminal:
            rows = rows[self.over[rows]]
        if len(rows):
            state, splits = self.states_in(rows), [self.splits[row] for row in rows]
            episodes = rewards.EpisodeBatch(
                split=splits,
                index=self.index[rows],
                source=state.source,
                action=state.prefix,
                length=state.prefix_length[:, 0],
                ended=self.over[rows],
            )
            expert_action = None if self.expert_action is None else self.expert_action[rows]
            reward[rows] = self.reward(episodes, episodes.last, expert_action)
        return reward, terminated, truncated

    def query_action(self, slots: np.ndarray) -> np.ndarray:
        """Query the expert's actions in ``slots``; rewards that compare with them reuse them."""
        if self.expert_action is None:
            self.expert_action = np.zeros(self.num_envs, dtype=np.int64)
        if len(slots):
            self.expert_action[slots] = self.query(self.oracle.action, slots)
        return self.expert_action[slots]

    def query(
        self, method: Callable[[Tensor, Tensor, Tensor], Tensor], slots: np.ndarray
    ) -> np.ndarray:
        """Call the oracle's ``action`` → ``[N]`` or ``log_probs`` → ``[N, V]`` in ``slots``."""
        inputs = map(torch.from_numpy, dynamics.oracle_inputs(self.states_in(slots)))
        return method(*inputs).cpu().numpy()

    def states_in(self, slots: np.ndarray) -> EnvState:
        """The states of ``slots``; not copied if these are all slots."""
        if len(slots) == self.num_envs:
            return self.state
        return EnvState(*(array[slots] for array in self.state))

    def observation(self, slot: int) -> Observation:
        """A copy of one slot's observation."""
        return {name: array[slot].copy() for name, array in self.state._asdict().items()}

    def text(self, slot: int) -> str:
        """The decoded prefix of ``slot``."""
        length = self.state.prefix_length[slot, 0]
        return self.task.vocabulary.decode(self.state.prefix[slot, :length].tolist())

    def final_info(self, slot: int) -> dict[str, Any]:
        """``info`` of the finished episode in ``slot``: first reference, hypothesis and metric.

        Without a reference there is no metric.
        """
        references = self.task.splits[self.splits[slot]].texts.references[self.index[slot]]
        hypothesis = self.text(slot)
        if not references[0]:  # a prompt alone
            return {"reference": "", "hypothesis": hypothesis}
        scores = sentence_score(self.task.metric, hypothesis, references)
        return {"reference": references[0], "hypothesis": hypothesis, **scores}

    def _checked_actions(self, action: Any) -> NDArray[np.int64]:
        """``[B]`` int64; UserError unless there is one action per slot, each in the vocabulary."""
        try:
            actions = np.asarray(action).reshape(-1)
        except ValueError:  # rows of unequal length
            raise UserError(
                f"action {action!r} is not an array; give one token per episode"
            ) from None
        if len(actions) != self.num_envs:
            raise UserError(
                f"{len(actions)} actions for {self.num_envs} episodes; give one per episode"
            )
        size = len(self.task.vocabulary)
        if actions.dtype.kind not in "iu" or actions.min() < 0 or actions.max() >= size:
            raise UserError(
                f"action {action!r} is not in the vocabulary; give integers from 0 to {size - 1}"
            )
        return actions.astype(np.int64, copy=False)


def observation_space(task: Task) -> spaces.Dict:
    """The space of one observation; see ``TextGenEnv``."""
    last_token = len(task.vocabulary) - 1
    boxes = [
        spaces.Box(0, high, (width,), np.int64)
        for limit in (task.source_limit, task.horizon)
        for high, width in ((last_token, limit), (limit, 1))
    ]
    return spaces.Dict(dict(zip(EnvState._fields, boxes, strict=True)))


def action_mask(task: Task) -> NDArray[np.int8]:
    """``[V]`` int8: 1 for every token except PAD and BOS."""
    mask = np.ones(len(task.vocabulary), dtype=np.int8)
    mask[[PAD, BOS]] = 0
    return mask


def check_flags(**flags: bool) -> None:
    """UserError unless every value is True or False."""
    for name, value in flags.items():
        check_kind(name, value, False)


def checked_seed(seed: Any) -> int | None:
    """``seed`` as an int or None; UserError unless it is a non-negative integer or None."""
    if seed is not None and (
        isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0
    ):
        raise UserError(f"seed={seed!r}: expected a non-negative integer")
    return None if seed is None else int(seed)


def checked_split(task: Task, split: str) -> str:
    """``split``; UserError if the task does not have it."""
    if split not in task.splits:
        raise unknown("split", split, task.splits)
    return split


def checked_oracle(task: Task, oracle: Oracle | None) -> Oracle:
    """``oracle``, by default the task's own; UserError if its vocabulary size is not the task's."""
    oracle = expert(task) if oracle is None else oracle
    if not hasattr(oracle, "vocabulary_size"):
        raise UserError(
            f"oracle: {type(oracle).__name__} has no vocabulary_size; give an Oracle, or None"
        )
    if oracle.vocabulary_size != len(task.vocabulary):
        raise UserError(
            f"the oracle has {oracle.vocabulary_size} tokens, {task.id} has "
            f"{len(task.vocabulary)}; build the oracle with this task's vocabulary"
        )
    return oracle
