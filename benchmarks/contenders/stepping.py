"""The environments without an expert: whole episodes of random tokens, all to the horizon."""

from __future__ import annotations

import numpy as np

from benchmarks.material import Setup, Work
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.limit import Limit
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.envs.env import TextGenEnv
from textgen_env.envs.vector import TextGenVectorEnv
from textgen_env.tasks.task import Task
from textgen_env.types import UNK

LIMIT, PAIRS = 125, 64  # S = T: the IWSLT task's


class Contender:
    def __init__(self, setup: Setup) -> None:
        self.task, self.generator = task(setup.vocabulary), np.random.default_rng(0)

    def single(self) -> Work:
        """``TextGenEnv.step`` with its defaults, one step short of the end, where the text is scored; counts steps."""
        env = TextGenEnv(self.task)
        waiting: list[int] = []

        def before() -> None:
            env.reset(seed=0)
            waiting[:] = self.tokens(LIMIT - 1).tolist()

        def run() -> float:
            for action in waiting:
                env.step(action)
            return len(waiting)

        return Work(run, before)

    def vector(self, episodes: int) -> Work:
        """``TextGenVectorEnv.step`` of ``episodes`` in lockstep, as above; counts steps of all together."""
        envs = TextGenVectorEnv(self.task, episodes)
        actions = self.tokens(LIMIT - 1, episodes)

        def run() -> float:
            for action in actions:
                envs.step(action)
            return len(actions)

        return Work(run, lambda: envs.reset(seed=0))

    def tokens(self, *shape: int) -> np.ndarray:
        """Never EOS."""
        return self.generator.integers(UNK, len(self.task.vocabulary), shape)


def task(vocabulary: int) -> Task:
    """Random sentences of every length up to the limits."""
    words, generator = [str(i) for i in range(vocabulary - 4)], np.random.default_rng(1)
    texts = [
        " ".join(generator.choice(words, size)) for size in generator.integers(1, LIMIT, 2 * PAIRS)
    ]
    pairs = Pairs(texts[:PAIRS], [(text,) for text in texts[PAIRS:]])
    corpus = Corpus(
        "random", "local", "random words", dict.fromkeys(("train", "valid", "test"), pairs)
    )
    tokens = Vocabulary.from_words(words)
    return Task(
        "Random-v0",
        corpus,
        tokens,
        source_limit=LIMIT,
        limit=Limit(LIMIT),
        metric="bleu",
        reward="bleu",
    )
