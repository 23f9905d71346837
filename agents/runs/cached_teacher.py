"""A teacher that is trained by maximum likelihood, once; later runs find it in the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig

from agents.algorithms.bc import BC
from agents.discovery import keys_of
from agents.evaluation.validation import validator
from agents.model import build_policy, checkpoint_header
from agents.runs.config import chosen, train_config, training_steps
from agents.runs.locks import locked
from agents.runs.machine import Machine
from agents.training.checkpoint import load_error
from agents.training.saving import Checkpoints, saved_step
from agents.training.trainer import train_policy
from textgen_env.data.batching import Batches
from textgen_env.data.files import cache_dir, save_json, write_atomically
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task
from textgen_env.terminal import console

MEMORY = ("accumulate", "checkpointing")  # keys of the training that do not change the teacher
# Keys of the group teacher that do not belong to its architecture.
TEACHER_KEYS = (
    *("path", "source_prefix", "separator", "share_vocabulary", "length_penalty"),
    *("label_smoothing", "dtype", "prompt_field", "compile", "seed", "train"),
)


def cached_teacher(config: DictConfig, task: Task, machine: Machine) -> Path:
    """The cache folder of a teacher trained by maximum likelihood; trains it if it is missing."""
    teacher = config.teacher
    name, settings = chosen(teacher)
    settings = {key: value for key, value in settings.items() if key not in TEACHER_KEYS}
    seed, training = teacher.seed, teacher.train
    header = {
        **checkpoint_header(name, settings, task),
        "corpus": task.corpus.fingerprint,
        "limits": [*task.limits, task.target_limit],
        "metric": task.metric,  # selects the best checkpoint
        "label_smoothing": teacher.label_smoothing,
        # Without settings that are off, so that a new setting keeps the teachers of before.
        "train": {key: value for key, value in training.items() if value and key not in MEMORY},
        "seed": seed,
        "precision": machine.precision,
    }
    key = hashlib.blake2b(json.dumps(header, sort_keys=True).encode(), digest_size=8).hexdigest()
    folder = cache_dir() / "teachers" / f"{task.id}-{key}"
    done = folder / "finished"
    with locked(folder, wait=True):
        _drop_corrupted(folder)
        if done.exists():
            console.print(f"teacher: cached in {folder}", soft_wrap=True)
            return folder
        task.vocabulary.save(folder / "vocabulary.json")
        with keys_of("teacher", [*settings, "label_smoothing"]):
            policy = build_policy(name, settings, task.vocabulary, seed).to(machine.device)
            algorithm = BC(policy, teacher.label_smoothing)
        task = task.with_teacher_sources()
        batches = Batches(task.splits["train"], training.batch_tokens, seed, task.limit)
        steps = training_steps(training, batches, algorithm)
        state = train_policy(
            algorithm,
            policy,
            batches,
            validator(policy, task, training.validation_rows, *machine),
            train_config(
                training, steps, machine, seed=seed, resume=True, loggers=tuple(config.logger)
            ),
            Checkpoints(folder, "teacher", header),
        )
        save_json(folder / "cost.json", asdict(state.cost))
        save_json(folder / "training.json", state.summary(training.patience))
        write_atomically(done, b"")
    return folder


def _drop_corrupted(folder: Path) -> None:
    """Delete the checkpoints of a cached teacher if one is unusable, so that it is retrained."""
    best, last = (folder / "checkpoints" / f"{name}.safetensors" for name in ("best", "last"))
    needed = [path for path in (best, last) if path.exists()]
    finished = (folder / "finished").exists()
    if finished and best not in needed:
        needed.append(best)
    error = next(filter(None, map(load_error, needed)), "")
    try:
        _ = finished or saved_step(folder)  # an earlier version may have saved it
    except UserError as unusable:
        error = error or str(unusable)
    if error:
        message = f"the cached teacher is corrupted and trained again: {error}"
        console.print(message, markup=False, soft_wrap=True)
        (folder / "finished").unlink(missing_ok=True)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
