"""One sentence step by step, of a student that diverges from its teacher early and often."""

from __future__ import annotations

from functools import partial

import torch

from agents.evaluation.sentence import Sentence, analyze_sentence
from agents.generation.decoding import greedy
from agents.policies.transformer import TransformerPolicy
from textgen_env.tasks.task import Task

INDEX = 3


def untrained_student(task: Task) -> TransformerPolicy:
    """A tiny transformer with random weights."""
    torch.manual_seed(2)
    return TransformerPolicy(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16).eval()


def steps_of(
    student: TransformerPolicy, task: Task, split: str = "test", index: int = INDEX
) -> Sentence:
    """``student`` against the task's exact oracle on one sentence."""
    return analyze_sentence(student, partial(greedy, student), task.oracle(), task, split, index)
