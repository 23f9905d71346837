"""The environments without an expert: episodes of random tokens up to the horizon."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.material import Setup, Work
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.limit import Limit
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.envs.env import TextGenEnv
from textgen_env.envs.vector import TextGenVectorEnv
from textgen_env.tasks.task import Task
from textgen_env.types import UNK

LIMIT, PAIRS = 125, 64  # S = T, as in IWSLT-v0


class Contender:
    """Steps the single and the vector environment."""

    def __init__(self, setup: Setup) -> None:
        self.task, self.generator = random_task(setup.vocabulary), np.random.default_rng(0)

    def single(self) -> Work:
        """``TextGenEnv.step`` without the last step, which scores the text; counts steps."""
        env = TextGenEnv(self.task)
        actions: list[int] = []

        def before() -> None:
            env.reset(seed=0)
            actions[:] = self.tokens(LIMIT - 1).tolist()

        def run() -> float:
            for action in actions:
                env.step(action)
            return len(actions)

        return Work(run, before)

    def vector(self, episodes: int) -> Work:
        """``TextGenVectorEnv.step`` of ``episodes`` environments, likewise; counts vector steps."""
        envs = TextGenVectorEnv(self.task, episodes)
        actions = self.tokens(LIMIT - 1, episodes)

        def run() -> float:
            for action in actions:
                envs.step(action)
            return len(actions)

        return Work(run, lambda: envs.reset(seed=0))

    def tokens(self, *shape: int) -> np.ndarray:
        """Random tokens other than EOS."""
        return self.generator.integers(UNK, len(self.task.vocabulary), shape)


def random_task(size: int) -> Task:
    """Random sentences of all lengths up to the limit."""
    words, generator = [str(i) for i in range(size - 4)], np.random.default_rng(1)
    lengths = generator.integers(1, LIMIT, 2 * PAIRS)
    texts = [" ".join(generator.choice(words, length)) for length in lengths]
    pairs = Pairs(texts[:PAIRS], [(text,) for text in texts[PAIRS:]])
    splits = dict.fromkeys(("train", "valid", "test"), pairs)
    corpus = Corpus("random", "local", "random words", splits)
    limits: dict[str, Any] = {"source_limit": LIMIT, "limit": Limit(LIMIT)}
    vocabulary_ = Vocabulary.from_words(words)
    return Task("Random-v0", corpus, vocabulary_, **limits, metric="bleu", reward="bleu")
