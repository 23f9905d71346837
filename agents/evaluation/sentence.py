"""Compares student and teacher step by step on one sentence that the student generates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from agents.generation.decoder import Decode
from agents.generation.rollout import eval_mode
from textgen_env.envs.rendering import token_texts
from textgen_env.errors import UserError, unknown
from textgen_env.tasks.task import Task
from textgen_env.types import Batch, Oracle, Policy

CHOICES = 5


class Choice(NamedTuple):
    """A token, by its name in the vocabulary, and its probability."""

    token: str
    probability: float


class Prediction(NamedTuple):
    """What one policy predicts at a step.

    Attributes:
        probability: of the student's token.
        rank: of the student's token, from 1.
        best: the policy's most likely tokens.
    """

    probability: float
    rank: int
    best: list[Choice]

    def choices(self, token: str) -> list[tuple[int, str, float]]:
        """(rank, token, probability) of the best tokens and of the student's ``token``."""
        choices = [(rank, *choice) for rank, choice in enumerate(self.best, start=1)]
        if token in [choice.token for choice in self.best]:
            return choices
        return [*choices, (self.rank, token, self.probability)]


class Step(NamedTuple):
    """One action of the student: the token, the text that it adds, and both predictions."""

    token: str
    piece: str
    teacher: Prediction
    student: Prediction

    @property
    def diverges(self) -> bool:
        """Whether the teacher's most likely token differs from the student's token."""
        return self.token != self.teacher.best[0].token


@dataclass(frozen=True)
class Sentence:
    """A sentence of a split, its outputs, and the student's steps.

    Attributes:
        split: name of the split.
        index: row of the split.
        source: source text.
        reference: first reference.
        teacher: the teacher's own output for the source.
        student: the student's output.
        steps: one entry per token of the student's output.
    """

    split: str
    index: int
    source: str
    reference: str
    teacher: str
    student: str
    steps: list[Step]


def analyze_sentence(
    student: Policy, decode: Decode, oracle: Oracle, task: Task, split: str, index: int
) -> Sentence:
    """Decode sentence ``index`` of ``split``; query student and teacher at each of its prefixes.

    It needs no chunks, which hold at least one row: one sentence.

    Raises:
        UserError: there is no such split or sentence.
    """
    if split not in task.splits:
        raise unknown("split", split, task.splits)
    rows = task.splits[split]
    if not 0 <= index < len(rows):
        raise UserError(f"sentence={index}: {split} has sentences 0 to {len(rows) - 1}")
    device = next(student.parameters()).device
    source = torch.from_numpy(rows.source[index])[None].to(device)  # [1, S]
    limit = torch.tensor([task.limit(source.shape[1])])
    output = decode(source, limit)
    batch = Batch(torch.tensor([index]), source, output.action, output.length, limit)
    with eval_mode(student):
        logits = student(source, batch.prefix, batch.mask)  # [T, V]
        student_log_probs = logits.log_softmax(-1, dtype=torch.float32)  # [T, V]
        teacher_log_probs = oracle.log_probs(source, batch.prefix, batch.mask)  # [T, V]
        demonstration = oracle.demonstrate(source, limit)
    action, vocabulary = batch.target[batch.mask], task.vocabulary
    names, tokens = vocabulary.tokens, action.tolist()
    columns = (
        [names[token] for token in tokens],
        token_texts(vocabulary, tokens),
        _predictions(names, action, teacher_log_probs),
        _predictions(names, action, student_log_probs),
    )
    return Sentence(
        split,
        index,
        rows.texts.sources[index],
        rows.texts.references[index][0],
        vocabulary.decode(demonstration.action[0].tolist()),
        vocabulary.decode(tokens),
        [Step(*row) for row in zip(*columns, strict=True)],
    )


def _predictions(names: list[str], action: Tensor, log_probs: Tensor) -> list[Prediction]:
    """One policy's predictions for ``action`` ``[T]``, from its ``log_probs`` ``[T, V]``."""
    chosen = log_probs.gather(1, action[:, None])  # [T, 1]
    rank = 1 + (log_probs > chosen).sum(1)
    top, token = log_probs.exp().topk(min(CHOICES, log_probs.shape[1]))  # [T, CHOICES] each
    best = [
        [Choice(names[index], probability) for index, probability in zip(*row, strict=True)]
        for row in zip(token.tolist(), top.tolist(), strict=True)
    ]
    columns = chosen.exp().squeeze(1).tolist(), rank.tolist(), best
    return [Prediction(*row) for row in zip(*columns, strict=True)]
