"""References for prompts that have none: the teacher's outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from agents.evaluation.outputs import cached_outputs, evenly_spaced, outputs_filename, subset
from agents.generation.decoder import Decode
from agents.runs.machine import Machine
from agents.runs.teacher import Teacher, outputs_folder
from textgen_env.data.corpus import Pairs
from textgen_env.data.split import Split
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task
from textgen_env.types import EOS


def with_references(config: DictConfig, task: Task, teacher: Teacher, machine: Machine) -> Task:
    """``task`` with the teacher's outputs as the references of prompts that have none.

    Only the validation and test sentences that are scored get one; a score then says how close the
    student is to the teacher. The training split stays as it is.
    """
    wanted = {"valid": config.train.validation_rows, "test": config.evaluate.rows}
    splits = dict(task.splits)
    for name, rows in wanted.items():
        if not splits[name].has_references:
            if teacher.decode is None:
                raise UserError(
                    f"{task.id}: the {name} split has prompts alone, which recorded outputs of a "
                    "teacher cannot answer; give it completions"
                )
            index = evenly_spaced(len(splits[name]), rows or len(splits[name]))
            settings = config.evaluate.beam, config.evaluate.length_penalty
            file = f"{name}-{outputs_filename(len(index), *settings)}"
            path = outputs_folder(teacher, task, machine.precision) / file
            splits[name] = _referenced(task, teacher.decode, splits[name], index, path)
    return replace(task, splits=splits)


def _referenced(task: Task, decode: Decode, split: Split, index: list[int], path: Path) -> Split:
    texts = cached_outputs(decode, task, subset(split, len(index)), path)
    sources, references, target = split.texts.sources, [*split.texts.references], [*split.target]
    for i, text in zip(index, texts, strict=True):
        references[i] = (text,)
        target[i] = np.array([*task.vocabulary.encode(text), EOS])
    return replace(split, texts=Pairs(sources, references), target=target)
