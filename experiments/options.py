"""Hydra's groups, made from the code: a task, a policy, an algorithm is one file, and its parameters are keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.config_store import ConfigStore

import agents.algorithms
import agents.policies
from agents.discovery import ALGORITHM, POLICY, find_algorithm, help_lines, settings, variants
from textgen_env.tasks import tasks


class Option(NamedTuple):
    """One choice of a group: its name, what it builds (None: nothing), and its keys with their defaults."""

    function: Callable[..., Any] | None
    node: dict[str, Any]


Groups = dict[str, dict[str, Option]]


def groups(custom_algorithm: str | None) -> Groups:
    """``{group: {name: option}}``; ``custom_algorithm``, a dotted path, becomes the option of that name."""
    algorithms = variants(agents.algorithms)
    if custom_algorithm is not None:
        algorithms[custom_algorithm] = find_algorithm(custom_algorithm)
    policies = {
        name: Option(policy.func, {"name": name, **settings(policy, POLICY)})
        for name, policy in variants(agents.policies).items()
    }
    return {
        "env": {
            name: Option(task.load, {"name": name, **settings(task.load)})
            for name, task in tasks().items()
        },
        "teacher": {**policies, "exact": Option(None, {"name": "exact"})},
        "student": policies,
        "algorithm": {
            name: Option(algorithm.func, {"name": name, **settings(algorithm, ALGORITHM)})
            for name, algorithm in algorithms.items()
        },
    }


def store(made: Groups) -> None:
    """Register the groups with Hydra."""
    for group, options in made.items():
        for name, option in options.items():
            ConfigStore.instance().store(name=name, group=group, node=option.node)


def help_of(made: Groups, chosen: dict[str, str], file: Path) -> dict[str, str]:
    """``{key: what it means}``: docstrings for the groups' keys, comments for those of the YAML ``file``."""
    lines = {group: "one of: " + ", ".join(options) for group, options in made.items()}
    for group, name in chosen.items():
        function = made[group][name].function
        lines |= {
            f"{group}.{key}": text
            for key, text in (help_lines(function) if function else {}).items()
        }
    path: list[str] = []
    text = file.read_text(encoding="utf-8")
    for indent, key, comment in re.findall(r"^( *)(\w+):[^#\n]*(?:# (.*))?$", text, re.MULTILINE):
        path = [*path[: len(indent) // 2], key]
        if comment:
            lines[".".join(path)] = comment
    return lines
