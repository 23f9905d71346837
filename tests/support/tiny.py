"""Tasks small enough to check by hand, and how the tests of environments make and drive them."""

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
from textgen_env.data.split import Split
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.envs.rewards import EXPERT_REWARDS, METRIC_REWARDS
from textgen_env.tasks import tasks
from textgen_env.tasks.task import Task
from textgen_env.types import EOS, UNK

WORDS = [
    "the",
    "a",
    "dog",
    "cat",
    "man",
    "sees",
    "hears",
    "likes",
    "der",
    "die",
    "ein",
    "hund",
    "katze",
    "mann",
    "sieht",
]
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
SMALL = {
    "corpus": "bundled",
    "bundled_pairs": 200,
    "vocabulary": 500,
    "horizon": 20,
    "train": 100,
    "valid": 20,
    "test": 20,
}
NEW_GYMNASIUM = not gym.__version__.startswith("0.")
REWARDS: dict[str, Any] = {name: name for name in (*EXPERT_REWARDS, *METRIC_REWARDS)}


def progress(task: Task, split: str, index: int, action: np.ndarray, ended: bool) -> float:
    """A user's reward that depends on everything it is given."""
    return (
        10.0 * index
        + len(action)
        + 0.001 * float(action[-1])
        + (0.5 if ended else 0.0)
        + len(task.splits[split])
    )


REWARDS["function"] = progress


def tiny_task(metric: str = "bleu", reward: str = "bleu", horizon: int = 9) -> Task:
    """Four sentence pairs with one to three references in every split, one token a word."""
    corpus = Corpus(
        "tiny",
        "local",
        "written by hand",
        {"train": PAIRS, "valid": PAIRS.rows([2, 0]), "test": PAIRS.rows([1])},
    )
    return Task(
        "Tiny-v0",
        corpus,
        Vocabulary.from_words(WORDS),
        source_limit=10,
        limit=Limit(horizon),
        metric=metric,
        reward=reward,
    )


@cache
def small_task(id: str) -> Task:
    """The task with small options and at most 200 rows per split."""
    load = tasks()[id].load
    parameters = inspect.signature(load).parameters
    task = load(**{name: value for name, value in SMALL.items() if name in parameters})
    splits = {
        name: Split(
            split.source[:200], split.target[:200], split.texts.rows(range(len(split))[:200])
        )
        for name, split in task.splits.items()
    }
    return replace(task, splits=splits)


def make_vec(id: str, num_envs: int, **options: Any) -> Any:
    """``gymnasium.make_vec`` of either generation, native vector environment."""
    if NEW_GYMNASIUM:
        return gym.make_vec(id, num_envs=num_envs, **options)
    return gym.make_vec(id, num_envs=num_envs, vectorization_mode="custom", vector_kwargs=options)


def noisy_references(
    task: Task, split: str, index: np.ndarray, slips: float, seed: int
) -> np.ndarray:
    """``[B, T]``: the references with slips; anything but EOS after their end, so that some episodes run to the horizon."""
    generator = np.random.default_rng(seed)
    actions = generator.integers(UNK, len(task.vocabulary), size=(len(index), task.horizon))
    for row, number in enumerate(index):
        target = task.splits[split].target[number][: task.horizon]
        actions[row, : len(target)] = np.where(
            generator.random(len(target)) < slips, actions[row, : len(target)], target
        )
    return actions


def until_eos(actions: np.ndarray) -> list[list[int]]:
    """Each row up to and with its first EOS."""
    return [row[: row.index(EOS) + 1] if EOS in row else row for row in actions.tolist()]


def play_actions(
    env: Any, actions: list[int]
) -> Iterator[tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]]:
    """Step ``env`` through ``actions``, to the episode's end if that comes first."""
    for action in actions:
        step = env.step(action)
        yield step
        if step[2] or step[3]:
            return


def follow_expert(env: textgen_env.TextGenEnv, slip: Callable[[], bool] = lambda: False) -> float:
    """The return of doing what ``info`` says the expert would, PAD where ``slip`` says so."""
    _, info = env.reset()
    total, over = 0.0, False
    while not over:
        _, reward, terminated, truncated, info = env.step(0 if slip() else info["expert_action"])
        total, over = total + reward, terminated or truncated
    return total
