"""The steps of every experiment: a task and a trained student.  Each reads the configuration and passes values on."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from agents.accel import workers
from agents.accel.encodings import Encodings
from agents.algorithms import Algorithm
from agents.discovery import build
from agents.evaluation.validation import validator
from agents.generation.decoding import DECODER
from agents.generation.demonstrations import KINDS
from agents.policies import pretrained
from agents.policies.transformer import Transformer
from agents.precision import resolve_precision
from agents.runs.demonstrations import demonstrations
from agents.runs.store import build_policy, describe_policy, load_policy, save_vocabulary
from agents.training.learning_rate import learning_rate
from agents.training.saving import Checkpoints
from agents.training.trainer import Progress, TrainConfig, train
from checks import keys_of
from groups import algorithm_class
from textgen_env.data.batching import Batches
from textgen_env.data.split import Split
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.envs import rewards
from textgen_env.errors import Range, UserError, check_range, unknown
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks import tasks
from textgen_env.tasks.task import Task, expert
from textgen_env.terminal import console
from textgen_env.types import Oracle


class Machine(NamedTuple):
    """Where it runs: a torch device and "float32" or "bf16"."""

    device: str
    precision: str


def machine(config: DictConfig) -> Machine:
    """Resolve ``auto``; a device or precision that is not there is a UserError."""
    device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device={device} is not to be had here: {str(error).splitlines()[0]}") from error
    return Machine(device, resolve_precision(config.precision, device))


def use_processor(config: DictConfig, on: Machine) -> None:
    """As many threads and decoding workers as the configuration says; tells what was chosen."""
    if config.threads:
        torch.set_num_threads(config.threads)
    workers.limit(config.workers)
    words = [f"{on.precision} on {on.device}", f"{torch.get_num_threads()} processor threads"]
    if on.device == "cpu" and workers.most_workers() > 1:
        words.append(f"large decodes over {workers.most_workers()} processes")
    console.print(f"computing: {', '.join(words)}")


def load_task(config: DictConfig) -> Task:
    """The task with its corpus and vocabulary, the teacher's where that brings its own; says what was taken."""
    model = pretrained_name(config)
    return read_task(config, pretrained.load_tokens(model).vocabulary if model else None)


def read_task(config: DictConfig, vocabulary: Vocabulary | None = None) -> Task:
    """The task with its corpus and its own or another ``vocabulary``; says what was taken."""
    name, options = named(config.env)
    with keys_of("env", options):
        task = tasks()[name].load(**options)
    task = task if vocabulary is None else task.with_vocabulary(vocabulary)
    console.print("\n".join(task.describe()), markup=False, soft_wrap=True)
    return task


def pretrained_name(config: DictConfig) -> str:
    """The model that ``teacher.path=hf:…`` names; empty for every other teacher."""
    scheme, _, name = str(config.teacher.path).partition(":")
    if scheme == "hf" and not name:
        raise UserError("teacher.path=hf: names no model; write hf:NAME or hf:FOLDER")
    return name if scheme == "hf" else ""


def build_student(config: DictConfig, task: Task) -> nn.Module:
    """The student of the run folder ``init``, or a fresh one, whose weights only ``seed`` decides, not the algorithm."""
    if config.init is not None:
        return load_start(config, task)[0]
    check_start(config)
    return fresh_student(config, task)


def fresh_student(config: DictConfig, task: Task) -> nn.Module:
    """A student that has learnt nothing yet."""
    name, settings = named(config.student)
    with keys_of("student", settings):
        return build_policy(name, settings, task.vocabulary, config.seed)


def load_start(config: DictConfig, task: Task) -> tuple[nn.Module, dict[str, Any]]:
    """The student of the run folder ``init`` and its checkpoint's header; UserError unless ``config`` describes it."""
    name, settings = named(config.student)
    policy, header = load_policy(finished(config.init), task.vocabulary)
    here, there = (
        {"": each["name"], **each["settings"]} for each in ({"name": name, "settings": settings}, header["architecture"])
    )
    different = {
        key and f".{key}": "null" if value is None else value for key, value in there.items() if here.get(key) != value
    }
    wanted = [f"student{key}={value}" for key, value in different.items()]
    if wanted:
        raise UserError(f"init={config.init} holds another student than this run's: add {' '.join(wanted)}")
    return policy, header


def finished(run: str) -> Path:
    """The folder ``run``; UserError where it is that of a run which has not come to its end."""
    folder = Path(run)
    if (folder / "config.yaml").is_file() and not (folder / "results.json").is_file():
        raise UserError(
            f"{folder} holds no finished run: there is no results.json; "
            f"finish it by the run's command with resume=true out={folder}"
        )
    return folder


def check_start(config: DictConfig) -> None:
    """UserError where an algorithm that improves a student has none to start from."""
    name, settings = named(config.algorithm)
    if algorithm_class(name).needs_start and not settings.get("cold_start"):
        raise UserError(
            f"algorithm={name} improves a student that can already write: give init=RUN, say a run of algorithm=bc, "
            "or algorithm.cold_start=true"
        )


def train_student(
    config: DictConfig, task: Task, student: nn.Module, oracle: Oracle, folder: Path, on: Machine
) -> tuple[Progress, dict[str, float]]:
    """Train ``student`` by the chosen algorithm; its run folder gets checkpoints, curves and vocabulary.

    Returns:
        The training's end, and the seconds and tokens of the demonstrations that it learned from.
    """
    save_vocabulary(folder, task.vocabulary)
    student.to(on.device)
    algorithm = _algorithm(config, task, student, oracle)
    header = {
        **describe_policy(*named(config.student), task.vocabulary),
        "algorithm": config.algorithm.name,
        "corpus": task.corpus.fingerprint,
        "seed": config.seed,
        **({} if algorithm.demonstrations == "references" else {"decoder": DECODER}),
    }
    learned = demonstrations(algorithm.demonstrations, task, oracle, on.precision, on.device, config.teacher.length_penalty)
    with remembering(oracle, task, config.teacher.encodings, on.device):
        settings = train_config(config.train, config.seed, on, config.resume, config.init is not None)
        files = Checkpoints(folder, "student", header)
        progress = fit(config.train, settings, task, learned.split, algorithm, files)
    progress.cost.oracle_queries += learned.tokens
    return progress, {"demonstrations_seconds": learned.seconds, "demonstrations_tokens": learned.tokens}


def check(config: DictConfig, task: Task, student: nn.Module) -> None:
    """UserError for what would else be refused only after the teacher's training, as far as the task's own expert shows it."""
    check_range("evaluate.beam", config.evaluate.beam, Range(1, len(task.vocabulary)))
    if config.evaluate.rows is not None:
        check_range("evaluate.rows", config.evaluate.rows, Range(1, len(task.splits["test"])))
    for settings in (config.teacher.train, config.train):
        learning_rate(settings.schedule, settings.warmup, settings.steps)
    algorithm = _algorithm(config, task, student, expert(task))
    if algorithm.demonstrations not in KINDS:
        raise unknown("demonstrations", algorithm.demonstrations, KINDS)


def _algorithm(config: DictConfig, task: Task, student: nn.Module, oracle: Oracle) -> Algorithm:
    name, settings = named(config.algorithm)
    reward = partial(rewards.score, rewards.make(config.reward or task.reward, task, oracle), task, "train")
    with keys_of("algorithm", settings):
        algorithm = build(algorithm_class(name), settings, policy=student, oracle=oracle, reward=reward)
    algorithm.oracle = oracle  # whose queries the trainer counts
    return algorithm


@contextmanager
def remembering(oracle: Oracle, task: Task, megabytes: int, device: str) -> Iterator[None]:
    """A transformer teacher keeps what its encoder makes of training sources that it is asked about, up to ``megabytes``.

    On a processor: sources are looked up there, and a GPU reads them anew in less time than it would have to wait for that.
    """
    policy = oracle.policy if isinstance(oracle, PolicyOracle) else None
    if not isinstance(policy, Transformer) or not megabytes or torch.device(device).type != "cpu":
        yield
        return

    @cache
    def kept() -> Encodings:
        made = Encodings(policy.read, task.splits["train"].source, policy.width, megabytes)
        console.print(
            f"teacher: keeps its encoder's outputs for {made.share:.0%} of the training sources once it has read them"
        )
        return made

    policy.encodings = lambda source: kept()(source)
    try:
        yield
    finally:
        policy.encodings = None


def train_config(settings: DictConfig, seed: int, on: Machine, resume: bool, validate_first: bool = False) -> TrainConfig:
    """How to train, from the keys ``train`` of student or teacher."""
    names = ("steps", "lr", "schedule", "warmup", "clip", "validations")
    values = {name: settings[name] for name in names}
    return TrainConfig(
        **values, seed=seed, precision=on.precision, device=on.device, resume=resume, validate_first=validate_first
    )


def fit(
    settings: DictConfig, config: TrainConfig, task: Task, split: Split, algorithm: Algorithm, files: Checkpoints
) -> Progress:
    """Train the algorithm's policy on ``split``."""
    policy = algorithm.policy.to(config.device)
    batches = Batches(split, settings.batch_tokens, config.seed, task.limit)
    validate = validator(policy, task, settings.validation_rows, config.precision, config.device)
    return train(algorithm, policy, batches, validate, config, files)


def parameters(policy: nn.Module) -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in policy.parameters())


def versions() -> dict[str, str]:
    """What the figures were made with."""
    names = ("torch", "gymnasium", "stable-baselines3", "imitation", "sacrebleu", "rouge-score", "tokenizers", "numpy", "scipy")
    return {"python": platform.python_version(), **{name: installed(name) for name in names}}


def installed(package: str) -> str:
    """Its version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def named(node: DictConfig) -> tuple[str, dict[str, Any]]:
    """A group's choice: its name and its settings."""
    settings: dict[str, Any] = OmegaConf.to_container(node)  # type: ignore[assignment]
    return settings.pop("name"), settings
