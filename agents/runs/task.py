"""Builds the task of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from agents.discovery import keys_of
from agents.model import PRETRAINED
from agents.policies.tokenizer import load_tokenizer
from agents.runs.config import chosen
from agents.training.saving import LAST
from textgen_env.data.chat_template import ChatTemplate, read_template
from textgen_env.data.scope import scoped
from textgen_env.errors import UserError
from textgen_env.tasks import find
from textgen_env.tasks.task import Task
from textgen_env.terminal import console

STUDENT = "student"  # as teacher.path: the base model of the student's adapter


def read_task(name: str, options: dict[str, Any]) -> Task:
    """Load the task ``name``, an id or a dotted path; an error names the key ``env.OPTION``."""
    with keys_of("env", options):
        task: Task = find(name).load(**options)
    return task


def build_task(config: DictConfig) -> Task:
    """The task of ``config.env`` with its corpus, whose description is printed.

    Its tokens are those of the Hugging Face model that is student or teacher, if there is one.
    """
    name, options = chosen(config.env)
    model, given = tokenizer_name(config), chat_template(options)
    tokens: dict[str, Any] = {}
    if model:
        tokenizer = load_tokenizer(model, given)
        tokens = {"vocabulary": tokenizer.vocabulary, "template": tokenizer.template}
    prompt_field = config.teacher.get("prompt_field") if "teacher" in config else None
    with scoped(teacher_prompt=prompt_field, **tokens if given else {}):
        task = read_task(name, options)
    if model and task.vocabulary.fingerprint != tokens["vocabulary"].fingerprint:
        task = task.with_vocabulary(**tokens)
    task = task.with_metric(config.get("metric"))
    console.print("\n".join(task.describe()), markup=False, soft_wrap=True)
    return task


def chat_template(options: dict[str, Any]) -> ChatTemplate | None:
    """The template of a task of conversations, from its options; None of any other task.

    ``ChatTemplate()`` if the tokenizer of a model has it.
    """
    if "template" not in options:
        return None
    path = options["template"]
    return read_template(path) if path else ChatTemplate()


def tokenizer_name(config: DictConfig) -> str:
    """The model whose tokenizer the task uses: the student, else the teacher; empty if neither."""
    student: Any = config.get("student") or {}
    if student.get("name") == "hf":
        if name := resumed_model(config) or student.path:
            return str(name)
        if config.init is None:
            raise UserError(
                "student.path=null: give a model folder or a model on the Hub, or init=RUN"
            )
        if not (folder := Path(config.init) / PRETRAINED).is_dir():
            raise UserError(f"init={config.init} holds no Hugging Face model; give student.path=")
        return str(folder)
    teacher = config.teacher.path if "teacher" in config else None
    # share_vocabulary is missing in runs of earlier versions
    if not teacher or not config.teacher.get("share_vocabulary", True):
        return ""
    if (folder := Path(teacher) / PRETRAINED).is_dir():  # the student of a run
        return str(folder)
    return pretrained_name(config)


def resumed_model(config: DictConfig) -> Path | None:
    """The Hugging Face model of the run that ``config`` resumes; None before its first checkpoint.

    It replaces ``student.path``, which may be gone; the checkpoint has the weights.
    """
    resumed = config.get("resume") and config.out  # interop.py has no such key
    if config.student.name != "hf" or not resumed:
        return None
    folder = Path(config.out)
    return folder / PRETRAINED if (folder / LAST).is_file() else None


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
