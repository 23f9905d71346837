"""ImitKD with all rows replaced, and the parts of its step: roll-in, teacher query, gradient."""

from __future__ import annotations

from functools import partial

import torch

from agents.algorithms.base import Algorithm, Clock, Loss
from agents.algorithms.bc import BC
from agents.algorithms.dagger import NAMES
from agents.generation.beam import beam_search
from agents.generation.demonstrations import BEAM
from agents.generation.rollout import rollout
from agents.precision import precision
from benchmarks.material import Setup, Work, batches, training, transformer
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.types import Batch, Policy

CLOCK = Clock(seed=0, step=1, steps=2)


class Contender:
    """Distills with our algorithms."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.batch = batches(setup, 1)[0]

    def step(self, student: str, teacher: str, algorithm: str, amp: str) -> Work:
        """A step of ``imitkd``, ``imitkd_full``, or of ``mle`` on a rollout; counts steps."""
        policy = transformer(self.setup, student)
        learner = self.algorithm(algorithm, policy, teacher)
        batch = self.rolled_in(student, amp) if algorithm == "mle" else self.batch

        def loss(batch: Batch) -> torch.Tensor:
            with precision(amp, "cpu"):
                loss = learner.loss(batch, CLOCK)
            assert isinstance(loss, Loss)
            return loss.mean

        step = training(policy, loss, [batch]).run

        def run() -> float:
            step()
            return 1

        return Work(run)

    def algorithm(self, name: str, policy: Policy, teacher: str) -> Algorithm:
        """The algorithm with β = 0, which replaces every row."""
        if name == "mle":
            return BC(policy)
        return NAMES[name](policy, self.oracle(teacher), beta="constant", rate=0.0)

    def roll_in(self, student: str, top_k: int, amp: str) -> Work:
        """Roll out the student on the whole batch; counts steps."""
        policy, batch = transformer(self.setup, student), self.batch
        noise = CLOCK.uniform("rollout", batch.row, int(batch.limit.max()))

        def run() -> float:
            with precision(amp, "cpu"):
                rollout(policy, batch.source, batch.limit, noise, top_k)
            return 1

        return Work(run)

    def query(self, student: str, teacher: str, method: str, amp: str) -> Work:
        """The teacher's ``action`` or ``log_probs`` on a rollout of the student; counts steps."""
        batch, query = self.rolled_in(student, amp), getattr(self.oracle(teacher), method)

        def run() -> float:
            with precision(amp, "cpu"):
                query(batch.source, batch.prefix, batch.mask)
            return 1

        return Work(run)

    def rolled_in(self, student: str, amp: str) -> Batch:
        """The batch with every row replaced by a rollout of the student."""
        policy, batch = transformer(self.setup, student), self.batch
        with precision(amp, "cpu"):
            episodes = rollout(policy, batch.source, batch.limit)
        return batch.with_rows(torch.ones_like(batch.length, dtype=torch.bool), episodes)

    def oracle(self, teacher: str) -> PolicyOracle:
        """An untrained teacher, which is as fast as a trained one."""
        policy = transformer(self.setup, teacher).requires_grad_(False)
        vocabulary = Vocabulary.from_words([str(i) for i in range(self.setup.vocabulary - 4)])
        return PolicyOracle(policy, partial(beam_search, width=BEAM), vocabulary, vocabulary)
