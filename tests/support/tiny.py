"""Small tasks, and helpers that step environments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np

import textgen_env
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.limit import Limit
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.envs.rewards import EXPERT_REWARDS, METRIC_REWARDS
from textgen_env.tasks import tasks
from textgen_env.tasks.task import Task
from textgen_env.types import EOS, PAD, UNK

ENGLISH = ["the", "a", "dog", "cat", "man", "sees", "hears", "likes"]
GERMAN = ["der", "die", "ein", "hund", "katze", "mann", "sieht"]
WORDS = [*ENGLISH, *GERMAN]
PAIRS = Pairs(
    [
        "der hund sieht die katze",
        "die katze sieht ein mann",
        "ein mann",
        "der mann sieht der hund der die katze sieht",
    ],
    [
        ("the dog sees the cat", "the dog sees a cat"),
        ("the cat sees a man",),
        ("a man", "the man", "man"),
        ("the man sees the dog the cat sees",),
    ],
)
SPLITS = {"train": PAIRS, "valid": PAIRS.rows([2, 0]), "test": PAIRS.rows([1])}
SMALL = {"corpus": "bundled", "bundled_pairs": 200, "vocabulary": 500, "horizon": 20}
SMALL |= {"train": 100, "valid": 20, "test": 20}
MAX_ROWS = 200
NEW_GYMNASIUM = not gym.__version__.startswith("0.")


def progress(task: Task, split: str, index: int, action: np.ndarray, ended: bool) -> float:
    """A user-defined reward that depends on all of its arguments."""
    last_action = 0.001 * float(action[-1])
    return 10.0 * index + len(action) + last_action + 0.5 * ended + len(task.splits[split])


REWARDS: dict[str, Any] = {name: name for name in (*EXPERT_REWARDS, *METRIC_REWARDS)}
REWARDS["function"] = progress


def tiny_task(metric: str = "bleu", reward: str = "bleu", horizon: int = 9) -> Task:
    """A few sentence pairs with one to three references, one token per word."""
    corpus = Corpus("tiny", "local", "tests/support/tiny.py", SPLITS)
    vocabulary, limit = Vocabulary.from_words(WORDS), Limit(horizon)
    return Task("Tiny-v0", corpus, vocabulary, 10, limit, metric=metric, reward=reward)


def load_small(id: str) -> Task:
    """Load the task with the options of ``SMALL`` that it has."""
    load = tasks()[id].load
    parameters = inspect.signature(load).parameters
    return load(**{name: value for name, value in SMALL.items() if name in parameters})


@cache
def small_task(id: str) -> Task:
    """``load_small`` with at most ``MAX_ROWS`` rows per split."""
    task = load_small(id)
    splits = {
        name: replace(
            split,
            source=split.source[:MAX_ROWS],
            target=split.target[:MAX_ROWS],
            texts=split.texts.rows([*range(len(split))][:MAX_ROWS]),
        )
        for name, split in task.splits.items()
    }
    return replace(task, splits=splits)


def make_vec(id: str, num_envs: int, **options: Any) -> Any:
    """``gymnasium.make_vec`` of the native vector environment, in gymnasium 0.29 and 1.x."""
    if NEW_GYMNASIUM:
        return gym.make_vec(id, num_envs=num_envs, **options)
    return gym.make_vec(id, num_envs=num_envs, vectorization_mode="custom", vector_kwargs=options)


def noisy_references(
    task: Task, split: str, index: np.ndarray, error_rate: float, seed: int
) -> np.ndarray:
    """References with random errors, ``[B, T]``.

    Random tokens other than EOS follow a reference, so an episode whose EOS was replaced runs to
    the horizon.
    """
    generator = np.random.default_rng(seed)
    actions = generator.integers(UNK, len(task.vocabulary), size=(len(index), task.horizon))
    for row, number in enumerate(index):
        target = task.splits[split].target[number][: task.horizon]
        errors = generator.random(len(target)) < error_rate
        actions[row, : len(target)] = np.where(errors, actions[row, : len(target)], target)
    return actions


def until_eos(actions: np.ndarray) -> list[list[int]]:
    """Each row up to and including its first EOS."""
    return [row[: row.index(EOS) + 1] if EOS in row else row for row in actions.tolist()]


def play_actions(
    env: Any, actions: list[int]
) -> Iterator[tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]]:
    """Step ``env`` through ``actions`` until the episode ends; yield the results of ``step``."""
    for action in actions:
        result = env.step(action)
        yield result
        if result[2] or result[3]:
            return


def follow_expert(env: textgen_env.TextGenEnv, err: Callable[[], bool] = lambda: False) -> float:
    """The return of an episode of expert actions, with PAD instead where ``err()`` is true."""
    _, info = env.reset()
    total, ended = 0.0, False
    while not ended:
        action = PAD if err() else info["expert_action"]
        _, reward, terminated, truncated, info = env.step(action)
        total, ended = total + reward, terminated or truncated
    return total
