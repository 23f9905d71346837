"""Episodes in progress: what the single and the vector environment share, so that the two cannot disagree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from textgen_env.envs import dynamics, rewards
from textgen_env.envs.dynamics import State
from textgen_env.errors import UserError, check_kind, unknown
from textgen_env.metrics.scores import sentence_score
from textgen_env.tasks.task import Task, expert
from textgen_env.types import BOS, PAD, Oracle

Observation = dict[str, NDArray[np.int64]]
OVER = "the episode is over, or none was begun: call reset() before step()"
TEXT = ("never", "end", "always")


class Game:
    """``num`` episodes on arrays, in slots that begin and end apart.

    Args:
        task: what the episodes are made of
        num: B, how many
        split: where they are drawn from
        reward: a name or a function; None: the task's
        oracle: the expert; None: the task's exact one, else the references
        text: which states are decoded: never, end, always

    Attributes:
        state: the states, ``[B, …]``
        over: ``[B]`` bool, slots that cannot act before they begin anew
        expert_action: ``[B]``, the expert's at the present states, where ``advise`` was called
    """

    def __init__(
        self,
        task: Task,
        num: int,
        split: str,
        reward: str | rewards.Function | None,
        oracle: Oracle | None,
        text: str,
    ) -> None:
        if text not in TEXT:
            raise unknown("text", text, TEXT)
        self.task, self.num, self.split = task, num, checked_split(task, split)
        self.oracle = checked_oracle(task, oracle)
        self.reward = rewards.make(task.reward if reward is None else reward, task, self.oracle)
        self.state = dynamics.initial(
            [np.zeros(0, np.int64)] * num, task.source_limit, task.horizon
        )
        self.limit = np.ones(num, dtype=np.int64)
        self.over = np.ones(num, dtype=bool)
        self.expert_action: np.ndarray | None = None
        self.splits, self.index = [self.split] * num, np.zeros(num, dtype=np.int64)

    def draw(
        self, generator: np.random.Generator, options: dict[str, Any] | None
    ) -> tuple[str, int]:
        """(split, index) of a new episode: what the reset ``options`` say, else a row drawn from the split."""
        options = options or {}
        for name in options:
            if name not in ("index", "split"):
                raise unknown("reset option", name, ["index", "split"])
        split = checked_split(self.task, options.get("split", self.split))
        rows = len(self.task.splits[split])
        if "index" not in options:
            return split, int(generator.integers(rows))
        index = options["index"]
        if (
            isinstance(index, bool)
            or not isinstance(index, int | np.integer)
            or not 0 <= index < rows
        ):
            raise UserError(
                f"reset option index={index!r}: choose an integer from 0 to {rows - 1}, the rows of split {split!r}"
            )
        return split, int(index)

    def begin(self, slots: Sequence[int] | np.ndarray, episodes: Sequence[tuple[str, int]]) -> None:
        """New episodes, ``(split, index)`` each, in ``slots``."""
        for slot, (split, index) in zip(slots, episodes, strict=True):
            self.splits[slot], self.index[slot] = split, index
        sources = [self.task.splits[split].source[index] for split, index in episodes]
        fresh = dynamics.initial(sources, self.task.source_limit, self.task.horizon)
        for part, new in zip(self.state, fresh, strict=True):
            part[slots] = new
        self.limit[slots] = self.task.limit(fresh.source_length[:, 0])
        self.over[slots] = False

    def act(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One action a slot; slots that are over ignore it.

        Returns:
            rewards float64, terminated bool and truncated bool, ``[B]`` each.
        """
        action, moved = self._checked(actions), ~self.over
        rows = np.flatnonzero(moved)
        dynamics.transition(self.state, action, rows, out=self.state)
        terminated = moved & dynamics.terminated(action)
        truncated = moved & dynamics.truncated(self.state, action, self.limit)
        self.over = terminated | truncated | ~moved
        reward = np.zeros(self.num)
        if self.reward.terminal:
            rows = rows[self.over[rows]]
        if len(rows):
            state, split = self.at(rows), [self.splits[row] for row in rows]
            length, known = (
                state.prefix_length[:, 0],
                None if self.expert_action is None else self.expert_action[rows],
            )
            episodes = rewards.Episodes(
                split, self.index[rows], state.source, state.prefix, length, self.over[rows]
            )
            reward[rows] = self.reward(episodes, episodes.last, known)
        return reward, terminated, truncated

    def advise(self, slots: np.ndarray) -> np.ndarray:
        """The expert's actions at the states of ``slots``, kept for the rewards that compare with them."""
        if self.expert_action is None:
            self.expert_action = np.zeros(self.num, dtype=np.int64)
        if len(slots):
            self.expert_action[slots] = self.query(self.oracle.action, slots)
        return self.expert_action[slots]

    def query(
        self, question: Callable[[Tensor, Tensor, Tensor], Tensor], slots: np.ndarray
    ) -> np.ndarray:
        """The oracle's ``action`` ``[N]`` or ``log_probs`` ``[N, V]`` at the states of ``slots``."""
        source, prefix, mask = map(torch.from_numpy, dynamics.query(self.at(slots)))
        return question(source, prefix, mask).cpu().numpy()

    def at(self, slots: np.ndarray) -> State:
        """The states of ``slots``; the arrays themselves when that is all of them."""
        return (
            self.state if len(slots) == self.num else State(*(part[slots] for part in self.state))
        )

    def observation(self, slot: int) -> Observation:
        """The observation of one slot, the caller's to keep."""
        return {name: part[slot].copy() for name, part in self.state._asdict().items()}

    def text(self, slot: int) -> str:
        """The prefix of ``slot``, decoded."""
        return self.task.vocabulary.decode(
            self.state.prefix[slot, : self.state.prefix_length[slot, 0]].tolist()
        )

    def closing(self, slot: int) -> dict[str, Any]:
        """What ``info`` says of the finished episode in ``slot``."""
        references = self.task.splits[self.splits[slot]].texts.references[self.index[slot]]
        hypothesis = self.text(slot)
        return {
            "reference": references[0],
            "hypothesis": hypothesis,
            **sentence_score(self.task.metric, hypothesis, references),
        }

    def _checked(self, action: Any) -> NDArray[np.int64]:
        """``[B]`` int64; UserError where there are more or fewer, and outside the action space."""
        try:
            actions = np.asarray(action).reshape(-1)
        except ValueError:  # rows of unequal length
            raise UserError(
                f"action {action!r} is no row of actions; give one token for each episode"
            ) from None
        if len(actions) != self.num:
            raise UserError(f"{len(actions)} actions for {self.num} episodes; give one each")
        size = len(self.task.vocabulary)
        if actions.dtype.kind not in "iu" or actions.min() < 0 or actions.max() >= size:
            raise UserError(
                f"action {action!r} is not in the vocabulary; choose integers from 0 to {size - 1}"
            )
        return actions.astype(np.int64, copy=False)


def observation_space(task: Task) -> spaces.Dict:
    """The space of one observation; see ``TextGenEnv``."""
    tokens, last = len(task.vocabulary) - 1, (task.source_limit, task.horizon)
    sides = [
        spaces.Box(0, high, (width,), np.int64)
        for limit in last
        for high, width in ((tokens, limit), (limit, 1))
    ]
    return spaces.Dict(dict(zip(State._fields, sides, strict=True)))


def allowed(task: Task) -> NDArray[np.int8]:
    """``[V]`` int8: 1 for every token but PAD and BOS."""
    mask = np.ones(len(task.vocabulary), dtype=np.int8)
    mask[[PAD, BOS]] = 0
    return mask


def check_switches(**switches: bool) -> None:
    """UserError unless each is True or False."""
    for name, value in switches.items():
        check_kind(name, value, False)


def checked_seed(seed: Any) -> int | None:
    """``seed`` as an int; UserError unless a generator takes it.  None leaves the generator as it is."""
    if seed is not None and (
        isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0
    ):
        raise UserError(f"seed={seed!r}: a whole number of at least 0 expected")
    return None if seed is None else int(seed)


def checked_split(task: Task, split: str) -> str:
    """``split`` if the task has it."""
    if split not in task.splits:
        raise unknown("split", split, task.splits)
    return split


def checked_oracle(task: Task, oracle: Oracle | None) -> Oracle:
    """The expert, the task's own by default; UserError where it has another vocabulary."""
    oracle = expert(task) if oracle is None else oracle
    if not hasattr(oracle, "vocabulary_size"):
        raise UserError(
            f"oracle: {type(oracle).__name__} is no Oracle, it has no vocabulary_size; give one, or leave it out"
        )
    if oracle.vocabulary_size != len(task.vocabulary):
        known = f"the oracle knows {oracle.vocabulary_size} tokens, {task.id} has {len(task.vocabulary)}"
        raise UserError(f"{known}; build it for this task's vocabulary")
    return oracle
