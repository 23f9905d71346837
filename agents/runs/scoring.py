"""Loads a trained model together with a test set, which needs no training text."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig

from agents.discovery import settings
from agents.model import Model
from agents.runs.config import chosen
from agents.runs.loading import Env, read_run, task_of
from agents.runs.model import PRETRAINED, open_model
from agents.runs.task import chat_template, read_task
from textgen_env.data.scope import only_split
from textgen_env.errors import UserError, unknown
from textgen_env.tasks import find
from textgen_env.tasks.task import Task
from textgen_env.terminal import console

# Options of a task that a trained model has fixed.
FIXED = (
    *("vocabulary", "source_limit", "target_limit", "horizon", "limit_ratio", "limit_offset"),
    *("unescape", "split_marks", "lowercase", "template"),
)


class Scored(NamedTuple):
    """A model and the test set to score it on.

    Attributes:
        model: the student of a run, or a pretrained model.
        task: holds the split to score on, tokenized for the model.
        config: every key of the run; None for a model that has none.
    """

    model: Model
    task: Task
    config: DictConfig | None


def load_scored(
    run: str,
    env: Env,
    split: str,
    source_prefix: str = "",
    separator: str = "",
    teacher: str | None = None,
) -> Scored:
    """Load a model and one split of a task.

    The vocabulary, the preprocessing and the limits are the model's own, the test set is that of
    the run's task unless ``env`` overrides its options.

    Args:
        run: a run folder, or ``hf:MODEL``, to which ``source_prefix`` and ``separator`` belong.
        env: the name of a task and options of it; empty for those of the run.
        split: name of the split.
        source_prefix: text before every source.
        separator: text between source and output of a decoder-only model.
        teacher: another place of the run's teacher, because it was moved.

    Raises:
        UserError: the model or the test set cannot be loaded, or ``env`` has a fixed option.
    """
    has_config = (Path(run) / "config.yaml").is_file()
    if not (env or has_config) and (run.startswith(PRETRAINED) or Path(run).is_dir()):
        raise UserError(f"run={run} names no task: add env=NAME, such as env=IWSLT-v0")
    name, options = _named(env) if env else ("", {})
    template = chat_template(settings(find(name).load) | options) if name else None
    model = open_model(run, source_prefix, separator, template=template)
    text = model.text_settings
    if run.startswith(PRETRAINED):
        with only_split(split, model.vocabulary, text.template):
            task = _with_split(read_task(name, options), split)
            task = task.with_vocabulary(model.vocabulary, text.template)
        model.policy.check_limits(task.source_limit, task.horizon)
        return Scored(model, task, None)
    if fixed := sorted(set(env) & set(FIXED)):
        raise UserError(f"env.{fixed[0]} does not apply: the model has its own; leave it out")
    config, results = read_run(Path(run), env, teacher) if has_config else (None, {})
    if config is not None:
        name, options = chosen(config.env)
    steps, known = asdict(text.preprocessing), settings(find(name).load)
    options |= {step: done for step, done in steps.items() if step in known}
    with only_split(split, model.vocabulary, text.template):
        with task_of(Path(run), env):
            task = read_task(name, options)
        task = _fitted(_with_split(task, split), model)
    if not env and (before := results["corpus"]["source"]) != task.corpus.source:
        raise UserError(
            f"{run}: its {before} corpus is not available, only the {task.corpus.source} one; "
            "give env.data_dir=FOLDER"
        )
    return Scored(model, task, config)


def _named(env: Env) -> tuple[str, dict[str, Any]]:
    options = dict(env)
    return options.pop("name"), options


def _with_split(task: Task, split: str) -> Task:
    if split in task.splits and not task.splits[split].has_references:
        raise UserError(
            f"{task.id}: the {split} split has prompts alone, so there is nothing to score against"
        )
    if split not in task.splits:
        raise unknown("split", split, task.corpus.splits)
    return task


def _fitted(task: Task, model: Model) -> Task:
    """``task`` with the vocabulary and the limits of ``model``."""
    text = model.text_settings
    if task.corpus.preprocessing != text.preprocessing:
        console.print(
            f"note: preprocessing of this test set: {task.corpus.preprocessing}; "
            f"of the model's training text: {text.preprocessing}"
        )
    if bool(task.template) != bool(text.template):
        kind = "no chat model" if task.template else "a chat model"
        raise UserError(f"{task.id}: the model is {kind}; score it on a task of its own kind")
    limits = task.source_limit, task.limit
    same_tokens = task.vocabulary.fingerprint == model.vocabulary.fingerprint
    if same_tokens and limits == (text.source_limit, text.limit):
        return task
    return replace(
        task,
        vocabulary=model.vocabulary,
        source_limit=text.source_limit,
        limit=text.limit,
        oracle=task.oracle if same_tokens else None,
        splits={},
    )
