"""Presets: what ``preset=quick`` means for a task.

``conf/preset/TASK.yaml``, or ``PRESETS`` of a task's module, has one dict of keys per preset. Keys
below ``student=gru|lstm`` apply to these choices only, those below ``command=NAME`` to that
command, and ``like: TASK`` starts from the preset of that name of another task.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from cli import schema
from textgen_env.tasks import find

FOLDER = Path(__file__).parents[1] / "conf" / "preset"
# A rate has a meaning only together with its schedule.
OmegaConf.register_new_resolver(
    "exponential",
    lambda rate, _parent_: rate if _parent_.get("beta") == "exponential" else None,
    replace=True,
)


def presets(env: str) -> dict[str, dict[str, Any]]:
    """``{preset: {key: value}}`` of a task."""
    task, path = find(env), FOLDER / f"{env}.yaml"
    if not hasattr(task, "PRESETS") and not path.is_file():
        return {"quick": {}}  # a task of the user's
    named = getattr(task, "PRESETS", None) or _read(path)
    return {
        name: (presets(settings["like"])[name] if "like" in settings else {})
        | {key: value for key, value in settings.items() if key != "like"}
        for name, settings in named.items()
    }


@cache
def _read(path: Path) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(path))  # type: ignore[return-value]


def suggested(env: str, preset: str) -> dict[str, str]:
    """The preset's choices of groups, such as ``{"teacher": "exact"}``."""
    return {key: value for key, value in presets(env)[preset].items() if key in schema.GROUPS}


def settings_of(command: str, preset: str, choices: dict[str, str]) -> dict[str, Any]:
    """``{key: value}`` of a preset of ``command`` for these choices of the groups."""
    entries = presets(choices["env"])[preset]
    known = schema.group_keys(choices)
    if "algorithm" in choices:
        known |= schema.keys("dagger", {})
    chosen = {key: value for key, value in entries.items() if key in known}
    if "algorithm.rate" in chosen and known["algorithm.rate"].default is not None:
        del chosen["algorithm.rate"]  # the algorithm's rate has another meaning
    for condition, more in entries.items():
        key, _, names = condition.partition("=")
        if {"command": command, **choices}.get(key) in names.split("|"):
            chosen |= more
    return chosen


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` → ``{"a": {"b": 1}}``."""
    node: dict[str, Any] = {}
    for key, value in flat.items():
        *path, name = key.split(".")
        inner = node
        for step in path:
            inner = inner.setdefault(step, {})
        inner[name] = value
    return node
