"""The teacher of a run: a pretrained model, a run's student, the task's exact expert, or one trained for it and cached."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from torch import nn

from agents.algorithms.bc import BC
from agents.discovery import keys_of
from agents.evaluation.validation import validator
from agents.generation.beam import beam_search
from agents.generation.decoder import Decode, Decoder
from agents.generation.demonstrations import BEAM
from agents.model import build_policy, checkpoint_header, fingerprint, load_policy
from agents.policies.pretrained import load_pretrained
from agents.policies.transformer import Transformer
from agents.runs.config import chosen, train_config
from agents.runs.folder import finished
from agents.runs.locks import locked
from agents.runs.machine import Machine
from agents.runs.results import read_results
from agents.runs.task import pretrained_name
from agents.training.checkpoint import fault
from agents.training.saving import Checkpoints
from agents.training.trainer import train
from textgen_env.data.batching import Batches
from textgen_env.data.files import (
    CorruptFileError,
    cache_dir,
    load_json,
    save_json,
    write_atomically,
)
from textgen_env.errors import UserError
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks.task import Task
from textgen_env.terminal import console
from textgen_env.types import Oracle

# Keys of the group teacher that are not its architecture's.
TEACHER_KEYS = (
    *("path", "source_prefix", "separator", "length_penalty", "label_smoothing"),
    *("compile", "seed", "train"),
)


class Teacher(NamedTuple):
    """The oracle, how it generates the test outputs, and its entry in ``results.json``."""

    oracle: Oracle
    decode: Decode
    about: dict[str, Any]

    @property
    def policy(self) -> Any:
        """The policy behind the oracle; None where there is none, as behind an exact expert."""
        return self.oracle.policy if isinstance(self.oracle, PolicyOracle) else None


def find_teacher(config: DictConfig, task: Task, machine: Machine) -> Teacher:
    """The teacher that ``config.teacher`` names; one that has to be trained is cached by everything that shapes it."""
    settings, pretrained_model = config.teacher, pretrained_name(config)
    compiled = settings.get("compile")  # runs of earlier versions do not have it
    not_compiled = UserError(
        f"teacher.compile=true: only a transformer of this project is compiled, not {settings.path or settings.name}"
    )
    if compiled and (pretrained_model or (not settings.path and settings.name != "transformer")):
        raise not_compiled  # before it is trained or downloaded
    if settings.path:
        opened = Path(pretrained_model or settings.path)
        where = opened.resolve() if opened.is_dir() else opened
        console.print(f"teacher: opened from {where}", markup=False, soft_wrap=True)
    elif settings.name == "exact":
        return _exact(task)
    policy: Any
    if pretrained_model:
        policy = load_pretrained(pretrained_model, settings.source_prefix, settings.separator)
        policy.check_limits(task.source_limit, task.horizon)
        vocabulary, architecture, path = (
            policy.vocabulary,
            policy.model.config.model_type,
            settings.path,
        )
    else:
        folder = (
            finished(settings.path) if settings.path else _cached_teacher(config, task, machine)
        )
        policy, header = load_policy(folder, task.vocabulary)
        vocabulary, architecture, path = (
            task.vocabulary,
            header["architecture"]["name"],
            str(folder),
        )
    policy.to(machine.device).requires_grad_(False)
    if compiled:
        if not isinstance(policy, Transformer):
            raise not_compiled
        for layer in (*policy.encoder, *policy.decoder):
            layer.compile(dynamic=True)
    search = partial(beam_search, width=BEAM, length_penalty=settings.length_penalty)
    return Teacher(
        oracle=PolicyOracle(policy, search, vocabulary, task.vocabulary),
        decode=Decoder(policy, config.evaluate.beam, *machine, config.evaluate.length_penalty),
        about={
            "architecture": architecture,
            "parameters": parameters(policy),
            "path": path,
            "cost": training_cost(path),
        },
    )


def _exact(task: Task) -> Teacher:
    if task.oracle is None:
        raise UserError(f"teacher=exact: {task.id} has no exact expert; use teacher=transformer")
    oracle = task.oracle()
    about = {"architecture": "exact", "parameters": None, "path": None, "cost": None}
    return Teacher(oracle, oracle.demonstrate, about)


def parameters(policy: nn.Module) -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in policy.parameters())


def training_cost(path: str) -> dict[str, Any] | None:
    """The cost of training the teacher in the folder ``path``; None where none was recorded."""
    cached, run = Path(path) / "cost.json", Path(path) / "results.json"
    if cached.is_file():
        try:
            return load_json(cached)
        except CorruptFileError as error:
            console.print(
                f"{error}; the cost of the teacher's training is unknown",
                markup=False,
                soft_wrap=True,
            )
            return None
    return read_results(run).get("cost") if run.is_file() else None


def outputs_folder(teacher: Teacher, task: Task, precision: str) -> Path:
    """The folder in the cache for this teacher's outputs on this corpus."""
    who = (
        fingerprint(teacher.policy) if teacher.policy is not None else teacher.about["architecture"]
    )
    limits = "-".join(map(str, task.limits))
    return (
        cache_dir() / "outputs" / f"{task.id}-{task.corpus.fingerprint}-{limits}-{who}-{precision}"
    )


def _cached_teacher(config: DictConfig, task: Task, machine: Machine) -> Path:
    """The folder of a teacher trained by maximum likelihood, as ``config.teacher`` says; trained here if it is not cached."""
    name, settings = chosen(config.teacher)
    settings = {key: value for key, value in settings.items() if key not in TEACHER_KEYS}
    seed, smoothing, training = (
        config.teacher.seed,
        config.teacher.label_smoothing,
        config.teacher.train,
    )
    header = {
        **checkpoint_header(name, settings, task),
        "corpus": task.corpus.fingerprint,
        "limits": [*task.limits, task.target_limit],
        "metric": task.metric,  # chooses the best checkpoint
        "label_smoothing": smoothing,
        "train": OmegaConf.to_container(training),
        "seed": seed,
        "precision": machine.precision,
    }
    key = hashlib.blake2b(json.dumps(header, sort_keys=True).encode(), digest_size=8).hexdigest()
    folder = cache_dir() / "teachers" / f"{task.id}-{key}"
    done = folder / "finished"
    with locked(folder, wait=True):
        _drop_damaged(folder)
        if done.exists():
            console.print(f"teacher: cached in {folder}", soft_wrap=True)
            return folder
        task.vocabulary.save(folder / "vocabulary.json")
        with keys_of("teacher", [*settings, "label_smoothing"]):
            policy = build_policy(name, settings, task.vocabulary, seed).to(machine.device)
            algorithm = BC(policy, smoothing)
        progress = train(
            algorithm,
            policy,
            Batches(task.splits["train"], training.batch_tokens, seed, task.limit),
            validator(policy, task, training.validation_rows, *machine),
            train_config(training, seed, machine, resume=True),
            Checkpoints(folder, "teacher", header),
        )
        save_json(folder / "cost.json", asdict(progress.cost))
        write_atomically(done, b"")
    return folder


def _drop_damaged(folder: Path) -> None:
    """Remove a cached teacher's checkpoints, and say so, unless they are intact: it is then trained again."""
    best, last = (folder / "checkpoints" / f"{name}.safetensors" for name in ("best", "last"))
    needed = [path for path in (best, last) if path.exists()]
    if (folder / "finished").exists() and best not in needed:
        needed.append(best)
    if why := next(filter(None, map(fault, needed)), ""):
        console.print(
            f"the cached teacher is damaged and trained again: {why}", markup=False, soft_wrap=True
        )
        (folder / "finished").unlink(missing_ok=True)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
