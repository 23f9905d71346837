"""The teacher of an experiment: a pretrained model, a run's student, the task's exact expert, or one trained for it."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from agents.algorithms.bc import BC
from agents.generation.beam import beam
from agents.generation.decoder import Decode, Decoder
from agents.generation.demonstrations import BEAM
from agents.policies import pretrained
from agents.policies.transformer import Transformer
from agents.runs.locks import locked
from agents.runs.store import build_policy, describe_policy, fingerprint, load_policy, save_vocabulary
from agents.training.checkpoint import fault
from agents.training.saving import Checkpoints
from checks import keys_of
from distil import Machine, finished, fit, named, parameters, pretrained_name, train_config
from run_folder import read_results
from textgen_env.data.files import DamagedFile, cache_dir, load_json, save_json, write_atomically
from textgen_env.errors import UserError
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks.task import Task
from textgen_env.terminal import console
from textgen_env.types import Oracle

# of the group teacher, the keys that are not its architecture's
TEACHER_KEYS = (
    *("path", "source_prefix", "separator", "length_penalty", "label_smoothing"),
    *("compile", "seed", "train"),
)


class Teacher(NamedTuple):
    """The oracle, how it writes when judged, and what the report says of it."""

    oracle: Oracle
    write: Decode
    about: dict[str, Any]


def find_teacher(config: DictConfig, task: Task, on: Machine) -> Teacher:
    """A Hugging Face model, a run folder's student, the exact expert, or one trained here and cached by all that shaped it."""
    policy: Any
    wanted = config.teacher.get("compile")  # which runs of earlier versions do not have
    if wanted and (pretrained_name(config) or (not config.teacher.path and config.teacher.name != "transformer")):
        raise _not_compiled(config.teacher.path or config.teacher.name)
    if config.teacher.path:  # which a run's results.json may have said
        opened = Path(pretrained_name(config) or config.teacher.path)
        where = opened.resolve() if opened.is_dir() else opened
        console.print(f"teacher: opened from {where}", markup=False, soft_wrap=True)
    if name := pretrained_name(config):
        policy = pretrained.load(name, config.teacher.source_prefix, config.teacher.separator)
        policy.check_limits(task.source_limit, task.horizon)
        vocabulary, architecture, path = policy.vocabulary, policy.model.config.model_type, config.teacher.path
    elif config.teacher.name == "exact" and not config.teacher.path:
        if task.oracle is None:
            raise UserError(f"teacher=exact: {task.id} has no exact expert; use teacher=transformer")
        oracle = task.oracle()
        about = {"architecture": "exact", "parameters": None, "path": None, "cost": None}
        return Teacher(oracle, oracle.demonstrate, about)
    else:
        folder = finished(config.teacher.path) if config.teacher.path else _train_teacher(config, task, on)
        policy, header = load_policy(folder, task.vocabulary)
        vocabulary, architecture, path = task.vocabulary, header["architecture"]["name"], str(folder)
    policy.to(on.device).requires_grad_(False)
    if wanted:
        if not isinstance(policy, Transformer):
            raise _not_compiled(architecture)
        for layer in (*policy.encoder, *policy.decoder):
            layer.compile(dynamic=True)
    about = {"architecture": architecture, "parameters": parameters(policy), "path": path, "cost": training_cost(path)}
    decode = partial(beam, width=BEAM, length_penalty=config.teacher.length_penalty)
    oracle = PolicyOracle(policy, decode, vocabulary, task.vocabulary)
    evaluate = config.evaluate
    write = Decoder(policy, evaluate.beam, on.precision, on.device, evaluate.length_penalty)
    return Teacher(oracle, write, about)


def _not_compiled(what: str) -> UserError:
    return UserError(f"teacher.compile=true: only a transformer of this project is compiled, not {what}")


def training_cost(path: str) -> dict[str, Any] | None:
    """What the training of the teacher in the folder ``path`` cost; None where nobody noted it."""
    cached, run = Path(path) / "cost.json", Path(path) / "results.json"
    if cached.is_file():
        try:
            return load_json(cached)
        except DamagedFile as error:
            console.print(f"{error}; the cost of the teacher's training is unknown", markup=False, soft_wrap=True)
            return None
    return read_results(run).get("cost") if run.is_file() else None


def outputs_folder(teacher: Teacher, task: Task, precision: str) -> Path:
    """The folder in the cache for what this teacher writes for this corpus."""
    who = fingerprint(teacher.oracle.policy) if isinstance(teacher.oracle, PolicyOracle) else teacher.about["architecture"]
    limits = "-".join(map(str, task.limits))
    return cache_dir() / "outputs" / f"{task.id}-{task.corpus.fingerprint}-{limits}-{who}-{precision}"


def _train_teacher(config: DictConfig, task: Task, on: Machine) -> Path:
    name, settings = named(config.teacher)
    settings = {key: value for key, value in settings.items() if key not in TEACHER_KEYS}
    header = {
        **describe_policy(name, settings, task.vocabulary),
        "corpus": task.corpus.fingerprint,
        "limits": [*task.limits, task.target_limit],
        "metric": task.metric,  # chooses the best checkpoint
        "label_smoothing": config.teacher.label_smoothing,
        "train": OmegaConf.to_container(config.teacher.train),
        "seed": config.teacher.seed,
        "precision": on.precision,
    }
    key = hashlib.blake2b(json.dumps(header, sort_keys=True).encode(), digest_size=8).hexdigest()
    folder = cache_dir() / "teachers" / f"{task.id}-{key}"
    done = folder / "finished"
    with locked(folder, wait=True):
        _drop_damaged(folder)
        if done.exists():
            console.print(f"teacher: cached in {folder}", soft_wrap=True)
            return folder
        save_vocabulary(folder, task.vocabulary)
        with keys_of("teacher", [*settings, "label_smoothing"]):
            policy = build_policy(name, settings, task.vocabulary, config.teacher.seed)
            algorithm = BC(policy, config.teacher.label_smoothing)
        how = train_config(config.teacher.train, config.teacher.seed, on, resume=True)
        files = Checkpoints(folder, "teacher", header)
        progress = fit(config.teacher.train, how, task, task.splits["train"], algorithm, files)
        save_json(folder / "cost.json", asdict(progress.cost))
        write_atomically(done, b"")
    return folder


def _drop_damaged(folder: Path) -> None:
    """Remove the checkpoints of a cached teacher, and say so, unless they are whole: it is then trained again."""
    best, last = (folder / "checkpoints" / f"{name}.safetensors" for name in ("best", "last"))
    needed = [path for path in (best, last) if path.exists()]
    if (folder / "finished").exists() and best not in needed:
        needed.append(best)
    if why := next(filter(None, map(fault, needed)), ""):
        console.print(f"the cached teacher is damaged and trained again: {why}", markup=False, soft_wrap=True)
        (folder / "finished").unlink(missing_ok=True)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
