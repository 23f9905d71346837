"""Builds the student of a run, or loads it from another run."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.discovery import find_algorithm, keys_of
from agents.model import PRETRAINED, build_policy, load_policy
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.layer_dropping import layer_counts
from agents.runs.config import chosen, leaves
from agents.runs.folder import finished_run
from agents.runs.task import resumed_model
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task

# Keys that say where a Hugging Face model comes from, with their values if init=RUN brings it.
ORIGIN_KEYS = {"path": None, "layers": None, "decoder_layers": None, "init": "pretrained"}


def build_student(config: DictConfig, task: Task) -> Any:
    """The student of the run folder ``init``; by default a new one, initialized from ``seed``.

    A run that is resumed needs no other folder: its checkpoint has the weights.
    """
    resumed = resumed_model(config)
    if config.init is not None and not resumed:
        student = _load_initial(config, task)
    else:
        name, settings = chosen(config.student)
        with keys_of("student", settings):
            start = task.vocabulary, config.seed, resumed, task.template
            student = build_policy(name, settings, *start)
    if isinstance(student, HuggingFacePolicy):
        student.check_limits(task.source_limit, task.horizon)
    return student


def _load_initial(config: DictConfig, task: Task) -> Any:
    """The student of the run ``init``; UserError unless it has the architecture of ``config``."""
    folder = finished_run(config.init)
    if (folder / PRETRAINED).is_dir() and config.student.name != "hf":
        raise UserError(f"init={config.init} holds a Hugging Face model; to use it, add student=hf")
    policy, header = load_policy(folder, task.vocabulary)
    configured, architecture = leaves(config.student), header["architecture"]
    saved = leaves(OmegaConf.create({"name": architecture["name"], **architecture["settings"]}))
    different = {key: value for key, value in saved.items() if configured.get(key) != value}
    origin = ORIGIN_KEYS if config.student.name == "hf" else {}
    for key in origin.keys() & different.keys():
        if configured.get(key) != origin[key]:
            raise UserError(
                f"student.{key} does not apply: init={config.init} brings its model; leave it out"
            )
    overrides = [
        f"student.{key}={'null' if value is None else value}".replace("student.name=", "student=")
        for key, value in different.items()
        if key not in origin
    ]
    if overrides:
        raise UserError(
            f"init={config.init} holds a different student; to use it, add {' '.join(overrides)}"
        )
    return policy


def architecture_name(name: str, student: Any) -> str:
    """``transformer``; of a Hugging Face model also its type and layers: ``hf (marian, 3+3)``."""
    if not isinstance(student, HuggingFacePolicy):
        return name
    config = student.model.config
    return f"{name} ({config.model_type}, {'+'.join(map(str, layer_counts(config)))})"


def check_start(config: DictConfig) -> None:
    """UserError if the algorithm needs a trained student and ``config`` names none."""
    if config.init is None and needs_start(config) and not is_pretrained(config):
        raise UserError(
            f"algorithm={config.algorithm.name} improves a student that can already generate: "
            "give init=RUN, for example a run of algorithm=bc, or algorithm.cold_start=true"
        )


def is_pretrained(config: DictConfig) -> bool:
    """Whether a new student has pretrained weights."""
    return bool(config.student.name == "hf" and config.student.init == "pretrained")


def needs_start(config: DictConfig) -> bool:
    """Whether the algorithm has to start from a trained student."""
    algorithm = find_algorithm(config.algorithm.name)
    needed = algorithm.func.needs_start  # type: ignore[attr-defined]
    return bool(needed and not config.algorithm.get("cold_start"))
