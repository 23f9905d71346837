"""One sentence step by step: the student's output, and its teacher's choice at each of its prefixes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from agents.generation.decoder import Decode
from agents.generation.rollout import acting
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.envs.rendering import pieces
from textgen_env.errors import UserError, unknown
from textgen_env.tasks.task import Task
from textgen_env.types import Batch, Oracle, Policy

CHOICES = 5


class Choice(NamedTuple):
    """A token, by its name in the vocabulary, and its probability."""

    token: str
    probability: float


class Step(NamedTuple):
    """One action of the student.

    piece: what it adds to the text · teacher_rank: of the student's token, from 1 · teacher, student: the most likely
    tokens of each, best first.
    """

    token: str
    piece: str
    teacher_probability: float
    student_probability: float
    teacher_rank: int
    teacher: list[Choice]
    student: list[Choice]

    @property
    def diverges(self) -> bool:
        """Whether the teacher's most likely token is another one."""
        return self.token != self.teacher[0].token


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


def look(student: Policy, decode: Decode, oracle: Oracle, task: Task, split: str, index: int) -> Sentence:
    """Decode sentence ``index`` of ``split``, and score it by both policies at each of its prefixes."""
    if split not in task.splits:
        raise unknown("split", split, task.splits)
    rows = task.splits[split]
    if not 0 <= index < len(rows):
        raise UserError(f"sentence={index}: {split} has sentences 0 to {len(rows) - 1}")
    source = torch.from_numpy(rows.source[index])[None].to(next(student.parameters()).device)  # [1, S]
    limit = torch.tensor([task.limit(source.shape[1])])
    output = decode(source, limit)
    batch = Batch(torch.tensor([index]), source, output.action, output.length, limit)
    with acting(student):
        own = student(source, batch.prefix, batch.mask).log_softmax(-1, dtype=torch.float32)  # [T, V]
        expert = oracle.log_probs(source, batch.prefix, batch.mask)  # [T, V]
        demonstration = oracle.demonstrate(source, limit)
    action, decoded = batch.target[batch.mask], task.vocabulary.decode
    texts = rows.texts.sources[index], rows.texts.references[index][0], decoded(demonstration.action[0].tolist())
    return Sentence(split, index, *texts, decoded(action.tolist()), _steps(task.vocabulary, action, own, expert))


def _steps(vocabulary: Vocabulary, action: Tensor, own: Tensor, expert: Tensor) -> list[Step]:
    """A step for each of ``action`` ``[T]``, from both sides' log-probabilities ``[T, V]``."""
    ours, theirs = (side.gather(1, action[:, None]) for side in (own, expert))  # [T, 1]
    columns = (
        [vocabulary.tokens[token] for token in action.tolist()],
        pieces(vocabulary, action.tolist()),
        theirs.exp().squeeze(1).tolist(),
        ours.exp().squeeze(1).tolist(),
        (1 + (expert > theirs).sum(1)).tolist(),
        _best(vocabulary, expert),
        _best(vocabulary, own),
    )
    return [Step(*row) for row in zip(*columns, strict=True)]


def _best(vocabulary: Vocabulary, log_probs: Tensor) -> list[list[Choice]]:
    top, token = log_probs.topk(min(CHOICES, log_probs.shape[1]))
    return [
        [Choice(vocabulary.tokens[index], chance) for index, chance in zip(*row, strict=True)]
        for row in zip(token.tolist(), top.exp().tolist(), strict=True)
    ]
