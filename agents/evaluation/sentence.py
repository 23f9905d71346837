"""One sentence, step by step: what the student wrote, and what its teacher would have written at each of its prefixes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from agents.evaluation.outputs import Writer
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
    """One action of the student.  piece: what it adds to the text.  teacher, student: their likeliest tokens, best first."""

    token: str
    piece: str
    teacher_probability: float
    student_probability: float
    teacher_rank: int  # of the student's token, from 1
    teacher: list[Choice]
    student: list[Choice]

    @property
    def parts(self) -> bool:
        """Whether the teacher would have written another token."""
        return self.token != self.teacher[0].token


@dataclass(frozen=True)
class Sentence:
    """Everything there is to show."""

    split: str
    index: int
    source: str
    reference: str
    teacher: str  # what the teacher writes for the source by itself
    student: str
    steps: list[Step]


def look(student: Policy, write: Writer, oracle: Oracle, task: Task, split: str, index: int, device: str) -> Sentence:
    """What ``write`` makes of sentence ``index`` of ``split``, beside both policies' distributions at each of its prefixes."""
    if split not in task.splits:
        raise unknown("split", split, task.splits)
    rows = task.splits[split]
    if not 0 <= index < len(rows):
        raise UserError(f"sentence={index}: {split} has sentences 0 to {len(rows) - 1}")
    source = torch.from_numpy(rows.source[index])[None].to(device)  # [1, S]
    limit = torch.tensor([task.limit(source.shape[1])])
    written = write(source, limit)
    batch = Batch(torch.tensor([index]), source, written.action, written.length, limit, torch.zeros(1, dtype=torch.int64))
    with acting(student):
        ours = student(source, batch.prefix, batch.mask).log_softmax(-1, dtype=torch.float32)  # [L, V]
        theirs = oracle.log_probs(source, batch.prefix, batch.mask)  # [L, V]
        taught = oracle.demonstrate(source, limit)
    action = batch.target[batch.mask]  # [L]
    decode = task.vocabulary.decode
    return Sentence(
        split,
        index,
        rows.texts.sources[index],
        rows.texts.references[index][0],
        decode(taught.action[0].tolist()),
        decode(action.tolist()),
        _steps(task.vocabulary, action, ours, theirs),
    )


def _steps(vocabulary: Vocabulary, action: Tensor, ours: Tensor, theirs: Tensor) -> list[Step]:
    """A step for each of ``action`` ``[L]`` from the student's and the teacher's log-probabilities ``[L, V]``."""
    chosen = theirs.gather(1, action[:, None])  # [L, 1]
    rank = (theirs > chosen).sum(1) + 1
    mine = ours.gather(1, action[:, None]).exp().squeeze(1)
    return [
        Step(vocabulary.tokens[token], piece, *figures, *sides)
        for token, piece, figures, sides in zip(
            action.tolist(),
            pieces(vocabulary, action.tolist()),
            zip(chosen.exp().squeeze(1).tolist(), mine.tolist(), rank.tolist(), strict=True),
            zip(_best(vocabulary, theirs), _best(vocabulary, ours), strict=True),
            strict=True,
        )
    ]


def _best(vocabulary: Vocabulary, log_probs: Tensor) -> list[list[Choice]]:
    top, token = log_probs.topk(min(CHOICES, log_probs.shape[1]))
    return [
        [Choice(vocabulary.tokens[index], probability) for index, probability in zip(*row, strict=True)]
        for row in zip(token.tolist(), top.exp().tolist(), strict=True)
    ]
