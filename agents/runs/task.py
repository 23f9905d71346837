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
    shared = config.teacher.get("share_vocabulary", True)  # missing in runs of earlier versions
    if shared and (model := pretrained_name(config)):
        task = task.with_vocabulary(load_tokenizer(model).vocabulary)
    task = task.with_metric(config.get("metric"))
    console.print("\n".join(task.describe()), markup=False, soft_wrap=True)
    return task


def pretrained_name(config: DictConfig) -> str:
    """The model of ``teacher.path=hf:MODEL``; empty for any other teacher or no teacher."""
    scheme, _, name = str(config.teacher.path if "teacher" in config else "").partition(":")
    if scheme == "hf" and not name:
        raise UserError("teacher.path=hf: names no model; write hf:NAME or hf:FOLDER")
    return name if scheme == "hf" else ""
