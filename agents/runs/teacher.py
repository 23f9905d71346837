"""The teacher of a run.

A pretrained model, the student of another run, the task's exact expert, or a policy that is trained
by maximum likelihood and cached.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig
from torch import nn

from agents.algorithms.bc import BC
from agents.discovery import keys_of
from agents.evaluation.validation import validator
from agents.generation.decoder import Decode
from agents.generation.demonstrations import oracle_decoder
from agents.model import build_policy, checkpoint_header, fingerprint, load_policy
from agents.policies.pretrained import PretrainedPolicy, load_pretrained
from agents.policies.transformer import TransformerPolicy
from agents.runs.config import chosen, train_config, training_steps
from agents.runs.folder import finished_run
from agents.runs.locks import locked
from agents.runs.machine import Machine
from agents.runs.oracles import policy_oracle, recorded_oracle, run_vocabulary, teacher_tokenizer
from agents.runs.recorded import RecordedOracle
from agents.runs.results import RESULTS, read_results
from agents.runs.task import pretrained_name, recorded_name
from agents.training.checkpoint import load_error
from agents.training.saving import Checkpoints, saved_step
from agents.training.trainer import train_policy
from textgen_env.data.batching import Batches
from textgen_env.data.files import (
    CorruptFileError,
    cache_dir,
    load_json,
    save_json,
    write_atomically,
)
from textgen_env.errors import UserError
from textgen_env.oracles.texts import ReencodingOracle, TextOracle
from textgen_env.tasks.task import Task
from textgen_env.terminal import console
from textgen_env.types import Oracle

MEMORY = ("accumulate", "checkpointing")  # keys of the training that do not change the teacher
# Keys of the group teacher that do not belong to its architecture.
TEACHER_KEYS = (
    *("path", "source_prefix", "separator", "share_vocabulary", "length_penalty"),
    *("label_smoothing", "dtype", "compile", "seed", "train"),
)


class Teacher(NamedTuple):
    """The expert to imitate.

    Attributes:
        oracle: answers the student's queries.
        decode: generates the test outputs; None if they cannot be generated.
        summary: architecture, parameters, path, cost and training, for ``results.json``.
    """

    oracle: Oracle
    decode: Decode | None
    summary: dict[str, Any]

    @property
    def policy(self) -> Any:
        """The policy behind the oracle; None for an exact expert and for recorded outputs."""
        return getattr(self.oracle, "policy", None)

    @property
    def recorded(self) -> list[str] | None:
        """Its recorded outputs for the test split; None if there are none."""
        return self.oracle.test if isinstance(self.oracle, RecordedOracle) else None

    def check_probabilities(self, command: str) -> None:
        """UserError for a ``command`` that needs more than texts, which may be all there is."""
        if isinstance(self.oracle, TextOracle):
            raise self.oracle.error(command)


def find_teacher(config: DictConfig, task: Task, machine: Machine) -> Teacher:
    """Load the teacher of ``config.teacher``, or train it and cache it for later runs.

    Raises:
        UserError: the teacher cannot be loaded or trained with these settings.
    """
    settings, pretrained_model = config.teacher, pretrained_name(config)
    compiled = settings.get("compile")  # missing in runs of earlier versions
    not_compiled = UserError(
        "teacher.compile=true: only a transformer of this project is compiled, "
        f"not {settings.path or settings.name}"
    )
    other = pretrained_model or recorded_name(config)
    if compiled and (other or (not settings.path and settings.name != "transformer")):
        raise not_compiled  # before it is trained or downloaded
    if settings.path:
        source = Path(other or settings.path)
        source = source.resolve() if source.is_dir() else source
        console.print(f"teacher: opened from {source}", markup=False, soft_wrap=True)
    elif settings.name == "exact":
        return _exact(task)
    if recorded_name(config):
        return _recorded(config, task)
    policy: Any
    if pretrained_model:
        dtype = settings.get("dtype", "float32")
        names = settings.source_prefix, settings.separator, dtype
        tokenizer = teacher_tokenizer(pretrained_model, config, task)
        policy = load_pretrained(pretrained_model, *names, tokenizer.template)
        policy.set_ids(tokenizer.vocabulary, tokenizer.ids)
        vocabulary, path = policy.vocabulary, settings.path
        architecture = policy.model.config.model_type
    else:
        if settings.path:
            folder = finished_run(settings.path)
        else:
            folder = _cached_teacher(config, task, machine)
        vocabulary, path = run_vocabulary(folder, task), str(folder)
        policy, header = load_policy(folder, vocabulary)
        architecture = header["architecture"]["name"]
    shared = vocabulary.fingerprint == task.vocabulary.fingerprint
    if shared and isinstance(policy, PretrainedPolicy):
        policy.check_limits(task.source_limit, task.horizon)
    policy.to(machine.device).requires_grad_(False)
    if compiled:
        if not isinstance(policy, TransformerPolicy):
            raise not_compiled
        for layer in (*policy.encoder, *policy.decoder):
            layer.compile(dynamic=True)
    oracle = policy_oracle(policy, vocabulary, task, settings.length_penalty, path)
    if isinstance(oracle, TextOracle):
        console.print(f"teacher: exchanges texts: {oracle.reason}", markup=False, soft_wrap=True)
    beam, penalty = config.evaluate.beam, config.evaluate.length_penalty
    return Teacher(
        oracle=oracle,
        decode=oracle_decoder(oracle, beam, *machine, penalty),
        summary={
            "architecture": architecture,
            "parameters": parameter_count(policy),
            "path": path,
            "cost": teacher_record(path, "cost"),
            **({"training": training} if (training := teacher_record(path, "training")) else {}),
        },
    )


def _exact(task: Task) -> Teacher:
    if task.oracle is None:
        raise UserError(f"teacher=exact: {task.id} has no exact expert; use teacher=transformer")
    oracle = task.oracle()
    summary = {"architecture": "exact", "parameters": None, "path": None, "cost": None}
    return Teacher(oracle, oracle.demonstrate, summary)


def _recorded(config: DictConfig, task: Task) -> Teacher:
    """A black-box teacher: not timed, and scored only with outputs for the test split."""
    oracle = recorded_oracle(recorded_name(config), task)
    summary = {"architecture": "outputs", "parameters": None, "path": config.teacher.path}
    return Teacher(oracle, None, {**summary, "cost": None, "sha256": oracle.sha256})


def parameter_count(policy: nn.Module) -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in policy.parameters())


def teacher_record(path: str, name: str) -> dict[str, Any] | None:
    """What is known of training the teacher in the folder ``path``.

    Args:
        path: a cached teacher, a run or a pretrained model.
        name: "cost", or "training": how far it went.

    Returns:
        As in ``results.json``; None if it is unknown.
    """
    cached, run = Path(path) / f"{name}.json", Path(path) / "results.json"
    if cached.is_file():
        try:
            return load_json(cached, RESULTS[f"{name}?"])  # type: ignore[no-any-return]
        except CorruptFileError as error:
            message = f"{error}; the {name} of the teacher is unknown"
            console.print(message, markup=False, soft_wrap=True)
            return None
    return read_results(run).get(name) if run.is_file() else None


def outputs_folder(teacher: Teacher, task: Task, precision: str) -> Path:
    """The cache folder for the test outputs of this teacher on this corpus."""
    policy = teacher.policy
    name = teacher.summary["architecture"] if policy is None else fingerprint(policy)
    limits = "-".join(map(str, task.limits))
    if isinstance(teacher.oracle, ReencodingOracle):
        limits += f"-{teacher.oracle.vocabulary.fingerprint}-{task.vocabulary.fingerprint}"
    key = f"{task.id}-{task.corpus.fingerprint}-{limits}-{name}-{precision}"
    return cache_dir() / "outputs" / key


def _cached_teacher(config: DictConfig, task: Task, machine: Machine) -> Path:
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
