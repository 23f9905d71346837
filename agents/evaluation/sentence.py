"""One sentence step by step: the student's output, and its teacher's choice at each of its prefixes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from agents.generation.decoder import Decode
from agents.generation.rollout import acting
from textgen_env.envs.rendering import token_texts
from textgen_env.errors import UserError, unknown
from textgen_env.tasks.task import Task
from textgen_env.types import Batch, Oracle, Policy

CHOICES = 5


class Choice(NamedTuple):
    """A token, by its name in the vocabulary, and its probability."""

    token: str
    probability: float


class Side(NamedTuple):
    """One policy at a step: its probability of the student's token, that token's rank from 1, and its own best first."""

    probability: float
    rank: int
    best: list[Choice]

    def choices(self, token: str) -> list[tuple[int, str, float]]:
        """Rank, token and probability of the best, and of the student's ``token`` where it is none of them."""
        choices = [(rank, *choice) for rank, choice in enumerate(self.best, start=1)]
        known = token in [choice.token for choice in self.best]
        return choices if known else [*choices, (self.rank, token, self.probability)]


class Step(NamedTuple):
    """One action of the student, and the text that it adds."""

    token: str
    piece: str
    teacher: Side
    student: Side

    @property
    def diverges(self) -> bool:
        """Whether the teacher's most likely token is another one."""
        return self.token != self.teacher.best[0].token


@dataclass(frozen=True)
class Sentence:
    """Everything there is to show.  teacher: its own output for the source; student: the text of ``steps``."""

    split: str
    index: int
    source: str
    reference: str
    teacher: str
    student: str
    steps: list[Step]


def look(
    student: Policy, decode: Decode, oracle: Oracle, task: Task, split: str, index: int
) -> Sentence:
    """Decode sentence ``index`` of ``split``, and score it by both policies at each of its prefixes."""
    if split not in task.splits:
        raise unknown("split", split, task.splits)
    rows = task.splits[split]
    if not 0 <= index < len(rows):
        raise UserError(f"sentence={index}: {split} has sentences 0 to {len(rows) - 1}")
    source = torch.from_numpy(rows.source[index])[None].to(
        next(student.parameters()).device
    )  # [1, S]
    limit = torch.tensor([task.limit(source.shape[1])])
    output = decode(source, limit)
    batch = Batch(torch.tensor([index]), source, output.action, output.length, limit)
    with acting(student):
        own = student(source, batch.prefix, batch.mask).log_softmax(
            -1, dtype=torch.float32
        )  # [T, V]
        expert = oracle.log_probs(source, batch.prefix, batch.mask)  # [T, V]
        demonstration = oracle.demonstrate(source, limit)
    action, vocabulary = batch.target[batch.mask], task.vocabulary
    names, tokens = vocabulary.tokens, action.tolist()
    columns = (
        [names[token] for token in tokens],
        token_texts(vocabulary, tokens),
        _sides(names, action, expert),
    )
    return Sentence(
        split,
        index,
        rows.texts.sources[index],
        rows.texts.references[index][0],
        vocabulary.decode(demonstration.action[0].tolist()),
        vocabulary.decode(tokens),
        [Step(*row) for row in zip(*columns, _sides(names, action, own), strict=True)],
    )


def _sides(names: list[str], action: Tensor, log_probs: Tensor) -> list[Side]:
    """One policy at each of ``action`` ``[T]``, from its log-probabilities ``[T, V]``."""
    chosen = log_probs.gather(1, action[:, None])  # [T, 1]
    rank = 1 + (log_probs > chosen).sum(1)
    top, token = log_probs.exp().topk(min(CHOICES, log_probs.shape[1]))  # [T, CHOICES] each
    best = [
        [Choice(names[index], chance) for index, chance in zip(*row, strict=True)]
        for row in zip(token.tolist(), top.tolist(), strict=True)
    ]
    return [
        Side(*row)
        for row in zip(chosen.exp().squeeze(1).tolist(), rank.tolist(), best, strict=True)
    ]
