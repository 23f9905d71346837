"""Builds the task of a run."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from agents.discovery import keys_of
from agents.policies.pretrained import load_tokenizer
from agents.runs.config import chosen
from textgen_env.errors import UserError
from textgen_env.tasks import find
from textgen_env.tasks.task import Task
from textgen_env.terminal import console


def read_task(name: str, options: dict[str, Any]) -> Task:
    """Load the task ``name``, an id or a dotted path; an error names the key ``env.OPTION``."""
    with keys_of("env", options):
        task: Task = find(name).load(**options)
    return task


def build_task(config: DictConfig) -> Task:
    """The task of ``config.env`` with its corpus, whose description is printed.

    Its tokens are those of a pretrained teacher that shares them.
    """
    task = read_task(*chosen(config.env))
    # share_vocabulary is missing in runs of earlier versions
    if (model := pretrained_name(config)) and config.teacher.get("share_vocabulary", True):
        task = task.with_vocabulary(load_tokenizer(model).vocabulary)
    task = task.with_metric(config.get("metric"))
    console.print("\n".join(task.describe()), markup=False, soft_wrap=True)
    return task


def pretrained_name(config: DictConfig) -> str:
    """The model of ``teacher.path=hf:MODEL``; empty for any other teacher or no teacher."""
    return _teacher_name(config, "hf", "names no model; write hf:NAME or hf:FOLDER")


def recorded_name(config: DictConfig) -> str:
    """The file of ``teacher.path=outputs:FILE``; empty for any other teacher or no teacher."""
    return _teacher_name(config, "outputs", "names no file; write outputs:FILE")


def _teacher_name(config: DictConfig, scheme: str, missing: str) -> str:
    given, _, name = str(config.teacher.path if "teacher" in config else "").partition(":")
    if given != scheme:
        return ""
    if not name:
        raise UserError(f"teacher.path={scheme}: {missing}")
    return name
