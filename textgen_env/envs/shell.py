"""What the two gymnasium shells share: spaces, the draw of an episode, what is said at its end, checks of what a user gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray
from torch import Tensor

from textgen_env.envs.dynamics import State, query
from textgen_env.errors import UserError, check_kind, unknown
from textgen_env.metrics.scores import sentence_score
from textgen_env.tasks.task import Task, expert
from textgen_env.types import BOS, PAD, Oracle

Observation = dict[str, NDArray[np.int64]]
OVER = "the episode is over, or none was begun: call reset() before step()"
TIME_LIMIT = "max_episode_steps would cut episodes before their reward is paid; set horizon= (env.horizon) instead"
TEXT = ("never", "end", "always")


def refuse_time_limit(env: gym.Env) -> None:
    """UserError where ``reset`` of ``env`` was called by a gymnasium ``TimeLimit`` around it (``max_episode_steps``).

    It would cut episodes before their reward is paid.  The spec does not record it, so the call stack is searched.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code is TimeLimit.reset.__code__ and frame.f_locals["self"].unwrapped is env:
            raise UserError(TIME_LIMIT)
        frame = frame.f_back


def check_switches(**switches: bool) -> None:
    """UserError unless each is True or False."""
    for name, value in switches.items():
        check_kind(name, value, False)


def checked_seed(seed: Any) -> int | None:
    """``seed`` as an int; UserError unless a generator takes it.  None leaves the generator as it is."""
    if seed is None:
        return None
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UserError(f"seed={seed!r}: a whole number of at least 0 expected")
    return int(seed)


def observation_space(task: Task) -> spaces.Dict:
    """The space of one observation; see ``TextGenEnv``."""

    def box(high: int, width: int) -> spaces.Box:
        return spaces.Box(0, high, (width,), np.int64)

    last = len(task.vocabulary) - 1
    parts = (box(last, task.source_limit), box(task.source_limit, 1), box(last, task.horizon), box(task.horizon, 1))
    return spaces.Dict(dict(zip(State._fields, parts, strict=True)))


def allowed(task: Task) -> NDArray[np.int8]:
    """``[V]`` int8: 1 for every token but PAD and BOS."""
    mask = np.ones(len(task.vocabulary), dtype=np.int8)
    mask[[PAD, BOS]] = 0
    return mask


def draw(task: Task, split: str, generator: np.random.Generator, options: dict[str, Any] | None) -> tuple[str, int]:
    """(split, index) of the next episode: what ``options`` says, else a row drawn from ``split``."""
    options = options or {}
    for name in options:
        if name not in ("index", "split"):
            raise unknown("reset option", name, ["index", "split"])
    split = checked_split(task, options.get("split", split))
    rows = len(task.splits[split])
    if "index" not in options:
        return split, int(generator.integers(rows))
    index = options["index"]
    if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < rows:
        raise UserError(f"reset option index={index!r}: choose an integer from 0 to {rows - 1}, the rows of split {split!r}")
    return split, int(index)


def closing(task: Task, split: str, index: int, hypothesis: str) -> dict[str, Any]:
    """What ``info`` says of a finished episode."""
    references = task.splits[split].texts.references[index]
    return {"reference": references[0], "hypothesis": hypothesis, **sentence_score(task.metric, hypothesis, references)}


def ask(question: Callable[[Tensor, Tensor, Tensor], Tensor], state: State) -> np.ndarray:
    """An oracle's ``action`` ``[B]`` or ``log_probs`` ``[B, V]`` at the states themselves."""
    source, prefix, mask = map(torch.from_numpy, query(state))
    return question(source, prefix, mask).cpu().numpy()


def checked_actions(task: Task, action: Any, count: int) -> NDArray[np.int64]:
    """``[count]`` int64; UserError where there are more or fewer, and outside the action space."""
    try:
        actions = np.asarray(action).reshape(-1)
    except ValueError:  # rows of unequal length
        raise UserError(f"action {action!r} is no row of actions; give one token for each episode") from None
    if len(actions) != count:
        raise UserError(f"{len(actions)} actions for {count} episodes; give one each")
    if actions.dtype.kind not in "iu" or actions.min() < 0 or actions.max() >= len(task.vocabulary):
        raise UserError(f"action {action!r} is not in the vocabulary; choose integers from 0 to {len(task.vocabulary) - 1}")
    return actions.astype(np.int64, copy=False)


def checked_split(task: Task, split: str) -> str:
    """``split`` if the task has it."""
    if split not in task.splits:
        raise unknown("split", split, task.splits)
    return split


def checked_text(text: str) -> str:
    """``text`` if it is one of the three."""
    if text not in TEXT:
        raise unknown("text", text, TEXT)
    return text


def checked_oracle(task: Task, oracle: Oracle | None) -> Oracle:
    """The oracle to ask: the task's own by default; UserError where it speaks of another vocabulary."""
    oracle = expert(task) if oracle is None else oracle
    if not hasattr(oracle, "vocabulary_size"):
        raise UserError(f"oracle: {type(oracle).__name__} is no Oracle, it has no vocabulary_size; give one, or leave it out")
    if oracle.vocabulary_size != len(task.vocabulary):
        known = f"the oracle knows {oracle.vocabulary_size} tokens, {task.id} has {len(task.vocabulary)}"
        raise UserError(f"{known}; build it for this task's vocabulary")
    return oracle
