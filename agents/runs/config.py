"""The configuration of a run: reads it from an untrusted folder and compares two of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from agents.algorithms import Algorithm
from agents.runs.machine import Machine
from agents.training.config import TrainConfig
from textgen_env.data.batching import Batches
from textgen_env.data.files import read_text
from textgen_env.data.schema import MAX_NUMBER
from textgen_env.errors import Range, UserError

CODE = ("env", "teacher", "student", "algorithm", "reward")  # keys that may name code
PENALTY = (int | float, Range(0, 100))
# What commands use of a finished run's config.yaml.
CONFIG = {
    "env": {"name": str, "*": object},
    "teacher": {"name": str, "path?": str | None, "length_penalty?": PENALTY, "*": object},
    "student": {"name": str, "*": object},
    "algorithm": {"name": str, "*": object},
    "evaluate": {
        "beam": (int, Range(1, 1000)),
        "length_penalty?": PENALTY,
        "rows?": (int | None, Range(1, MAX_NUMBER)),
        "*": object,
    },
    "*": object,
}
MAX_CHARACTERS, MAX_DEPTH = 1 << 16, 8  # of a config.yaml


def leaves(config: DictConfig, prefix: str = "") -> dict[str, Any]:
    """``{dotted key: value}`` of all values in ``config``."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        key = prefix + str(name)
        flat |= leaves(value, f"{key}.") if isinstance(value, DictConfig) else {key: value}
    return flat


def chosen(group: DictConfig) -> tuple[str, dict[str, Any]]:
    """The name and the settings of a group, such as ``config.student``."""
    settings: dict[str, Any] = OmegaConf.to_container(group)  # type: ignore[assignment]
    return settings.pop("name"), settings


def train_config(settings: DictConfig, steps: int, machine: Machine, **others: Any) -> TrainConfig:
    """The trainer's settings from ``config.train`` or ``config.teacher.train``.

    Args:
        settings: those keys.
        steps: ``training_steps`` of them.
        machine: precision and device.
        others: seed, resume, validate_first and loggers.
    """
    names = ["accumulate", "checkpointing", "lr", "schedule", "warmup", "clip", "weight_decay"]
    names += ["validations", "patience"]
    values = {name: settings[name] for name in names}
    return TrainConfig(steps, **values, **machine._asdict(), **others)


def training_steps(settings: DictConfig, batches: Batches, algorithm: Algorithm) -> int:
    """``settings.steps``, or the optimizer steps of ``settings.epochs`` passes over the data."""
    if settings.epochs is None:
        return int(settings.steps)
    return epochs_to_steps(settings.epochs, batches, algorithm)


def epochs_to_steps(epochs: float, batches: Batches, algorithm: Algorithm) -> int:
    """The optimizer steps of ``epochs`` passes over the data, at least one."""
    return max(1, round(epochs * batches.per_epoch * algorithm.updates_per_batch))


def check_same(path: Path, config: DictConfig, free: tuple[str, ...]) -> dict[str, Any]:
    """Refuse a ``config`` that differs from the ``config.yaml`` at ``path``.

    Args:
        path: the file.
        config: configuration of this run.
        free: prefixes of the keys that may differ.

    Returns:
        ``{key: (before, after)}`` of the keys that differ.
    """
    old, new = leaves(read_config(path)), leaves(config)
    changed = {
        key: (old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    }
    for key, (before, after) in changed.items():
        if not key.startswith(free):
            there, here = ("null" if value is None else value for value in (before, after))
            raise UserError(
                f"{path} holds another run: {key}={there} there, {here} here; choose another out="
            )
    return {key: tuple(map(_plain, values)) for key, values in changed.items()}


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def is_outside(key: str, value: Any) -> bool:
    """Whether ``key=value`` names code outside this project, or a model on the hub.

    A run folder is untrusted, so it cannot make a command import or download what it names.
    """
    if key == "teacher.path":
        name = str(value).removeprefix("hf:")
        return str(value).startswith("hf:") and not Path(name).is_dir()
    if key == "student.path":
        return value is not None and not Path(value).is_dir()
    return key.removesuffix(".name") in CODE and bool(set(str(value)) & {".", ":"})


def read_config(path: Path) -> DictConfig:
    """Read a run's ``config.yaml``.

    The file is untrusted, so it may have plain values only: tags, aliases and ``${…}``, which can
    read the environment, are refused.

    Raises:
        UserError: the file is corrupted, too large, or has other values.
    """
    text = read_text(path)
    if len(text) > MAX_CHARACTERS:
        raise UserError(
            f"{path} is not the configuration of a run: it has {len(text):,} characters, "
            f"at most {MAX_CHARACTERS:,} are read"
        )
    try:
        _check_plain(text, path)
        config = OmegaConf.create(text)
        if not isinstance(config, DictConfig):
            raise ValueError("no keys in it")
    except UserError:
        raise
    except (YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        why = next(iter(str(error).splitlines()), "")
        raise UserError(
            f"{path} is corrupted ({why}): restore a copy; or delete {path.parent} and start again"
        ) from error
    return config


def _check_plain(text: str, path: Path) -> None:
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(
            event, yaml.CollectionEndEvent
        )
        text = getattr(event, "value", "")
        expanded = getattr(event, "tag", None) or "${" in text or text == "???"
        if expanded or isinstance(event, yaml.AliasEvent) or depth > MAX_DEPTH:
            raise UserError(
                f"{path}:{event.start_mark.line + 1}: a tag, an alias, "
                "${…}, ??? or deep nesting; a run's settings are plain values: write the value"
            )
