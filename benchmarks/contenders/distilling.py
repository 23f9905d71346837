"""ImitKD with every row replaced, and what its step consists of: roll-in, the teacher's answers, the gradient step."""

from __future__ import annotations

from functools import partial

import torch

from agents.algorithms import Algorithm
from agents.algorithms.bc import BC
from agents.algorithms.dagger import NAMES
from agents.generation.decoding import beam
from agents.generation.demonstrations import BEAM
from agents.generation.rollout import roll_out
from agents.precision import precision
from benchmarks.material import Setup, Work, batches, training, transformer
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.types import Batch, Policy


class Contender:
    def __init__(self, setup: Setup) -> None:
        self.setup, self.generator = setup, torch.Generator().manual_seed(0)
        self.batch = batches(setup, 1)[0]

    def step(self, student: str, teacher: str, algorithm: str, amp: str, known: bool = False) -> Work:
        """A step of ``imitkd`` or ``imitkd_full``, or of ``mle`` on what such a step learns from; counts steps.

        known: the teacher has read the sources before.
        """
        policy = transformer(self.setup, student)
        made = self.algorithm(algorithm, policy, teacher, known)
        batch = self.written(student, amp) if algorithm == "mle" else self.batch

        def loss(batch: Batch) -> torch.Tensor:
            with precision(amp, "cpu"):
                return made.loss(batch, progress=0.5).loss

        step = training(policy, loss, [batch]).run

        def run() -> float:
            step()
            return 1

        return Work(run)

    def algorithm(self, name: str, policy: Policy, teacher: str, known: bool = False) -> Algorithm:
        """With a β of 0: every row is replaced."""
        if name == "mle":
            return BC(policy)
        return NAMES[name](policy, self.oracle(teacher, known), self.generator, beta="constant", rate=0.0)

    def roll_in(self, student: str, top_k: int, amp: str) -> Work:
        """The student writes the whole batch; counts steps."""
        policy = transformer(self.setup, student)

        def run() -> float:
            with precision(amp, "cpu"):
                roll_out(policy, self.batch.source, self.batch.limit, self.generator, top_k)
            return 1

        return Work(run)

    def ask(self, student: str, teacher: str, question: str, amp: str) -> Work:
        """The teacher's ``action`` or ``log_probs`` at what the student wrote; counts steps."""
        batch, answer = self.written(student, amp), getattr(self.oracle(teacher), question)

        def run() -> float:
            with precision(amp, "cpu"):
                answer(batch.source, batch.prefix, batch.mask)
            return 1

        return Work(run)

    def written(self, student: str, amp: str) -> Batch:
        """The batch with every row replaced."""
        policy, batch = transformer(self.setup, student), self.batch
        with precision(amp, "cpu"):
            found = roll_out(policy, batch.source, batch.limit, self.generator)
        return batch.with_rows(torch.ones_like(batch.length, dtype=torch.bool), found)

    def oracle(self, teacher: str, known: bool = False) -> PolicyOracle:
        """An untrained teacher costs what a trained one does."""
        policy = transformer(self.setup, teacher).requires_grad_(False)
        vocabulary = Vocabulary.words([str(i) for i in range(self.setup.vocabulary - 4)])
        return PolicyOracle(policy, partial(beam, width=BEAM), vocabulary, vocabulary)
