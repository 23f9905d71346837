"""The configuration groups that are made from the code: a task, a policy, an algorithm is one file, its parameters are keys."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.config_store import ConfigStore

import agents.algorithms
import agents.policies
from agents.algorithms import Algorithm
from agents.discovery import help_lines, settings, variants
from textgen_env.errors import UserError
from textgen_env.tasks import tasks


class Option(NamedTuple):
    """One choice of a group: what it builds (None: nothing to build), and its keys."""

    function: Callable[..., Any] | None
    node: dict[str, Any]


Groups = dict[str, dict[str, Option]]


def groups(custom_algorithm: str | None) -> Groups:
    """``{group: {name: option}}``; ``custom_algorithm``, a dotted path, becomes the option of that name."""
    algorithms = variants(agents.algorithms)
    if custom_algorithm is not None:
        algorithms[custom_algorithm] = partial(import_dotted(custom_algorithm))
    policies = {name: Option(policy.func, _node(name, policy)) for name, policy in variants(agents.policies).items()}
    return {
        "env": {name: Option(task.load, _node(name, task.load)) for name, task in tasks().items()},
        "teacher": {**policies, "exact": Option(None, {"name": "exact"})},
        "student": policies,
        "algorithm": {name: Option(algorithm.func, _node(name, algorithm)) for name, algorithm in algorithms.items()},
    }


def store(made: Groups) -> None:
    """Hand the groups to Hydra."""
    for group, options in made.items():
        for name, option in options.items():
            ConfigStore.instance().store(name=name, group=group, node=option.node)


def help_of(made: Groups, chosen: dict[str, str], file: Path) -> dict[str, str]:
    """``{key: what it means}``: docstrings for the groups' keys, comments for those of the YAML ``file``."""
    lines = {group: "one of: " + ", ".join(options) for group, options in made.items()}
    for group, name in chosen.items():
        function = made[group][name].function
        lines |= {f"{group}.{key}": text for key, text in (help_lines(function) if function else {}).items()}
    path: list[str] = []
    for indent, key, comment in re.findall(r"^( *)(\w+):[^#\n]*(?:# (.*))?$", file.read_text(encoding="utf-8"), re.MULTILINE):
        path = [*path[: len(indent) // 2], key]
        if comment:
            lines[".".join(path)] = comment
    return lines


def algorithm_class(name: str) -> Callable[..., Any]:
    """The class behind ``algorithm=name`` or ``algorithm._target_=module.Class``."""
    return import_dotted(name) if "." in name else variants(agents.algorithms)[name].func


def needs_start(name: str) -> bool:
    """Whether the algorithm, as it is by default, only improves a student that can already write."""
    made = partial(import_dotted(name)) if "." in name else variants(agents.algorithms)[name]
    return bool(made.func.needs_start and not settings(made).get("cold_start"))  # type: ignore[attr-defined]


def import_dotted(path: str) -> type[Algorithm]:
    """The algorithm at ``my_file.MyAlgorithm``; the working directory is searched too."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # the file is the user's, and importing runs it
        why = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        raise UserError(f"algorithm._target_={path}: {why}; give module.Class of an importable file") from error
    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        raise UserError(f"algorithm._target_={path} is no Algorithm: give a subclass of agents.algorithms.Algorithm")
    return found


def _node(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    return {"name": name, **settings(function)}
