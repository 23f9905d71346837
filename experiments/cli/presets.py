"""Presets: what ``preset=quick`` means for a task, as nodes of Hydra's defaults list.

``conf/preset/TASK.yaml``, or ``PRESETS`` of a task's module, has one dict of keys per preset. Keys
below ``student=gru|lstm`` apply to these choices only, those below ``command=NAME``, of ``env.*``,
to that command, and ``like: TASK`` starts from the preset of
that name of another task.
"""

from __future__ import annotations

from collections.abc import Iterator
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


def entries(command: str) -> list[tuple[str, str]]:
    """``(group, option)`` for the defaults list of ``command``, the most specific last."""
    groups = schema.default_groups(command)
    special = [(group, "${env}-${preset}" + f"-${{{group}}}") for group in groups if group != "env"]
    shared = ["env", "run"] if "algorithm" in groups else ["env"]
    return [*((group, "${env}-${preset}") for group in shared), *special]


def nodes(
    command: str, preset: str, choices: dict[str, str]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """``(group, option, settings)`` of a preset of ``command`` for these choices of the groups."""
    settings, own = presets(choices["env"])[preset], schema.keys("dagger", {})
    plain = {key: value for key, value in settings.items() if not isinstance(value, dict)}
    option = f"{choices['env']}-{preset}"
    task = {key: value for key, value in plain.items() if key.startswith("env.")}
    yield "env", option, task | settings.get(f"command={command}", {})
    yield "run", option, {key: value for key, value in plain.items() if key in own}
    for group, name in choices.items():
        if group != "env":
            valid = {
                key: known
                for key, known in schema.keys("dagger", {group: name}).items()
                if key not in own
            }
            special = {key: value for key, value in plain.items() if key in valid}
            if "algorithm.rate" in special and valid["algorithm.rate"].default is not None:
                del special["algorithm.rate"]  # the algorithm's rate has another meaning
            for condition, more in settings.items():
                key, _, names = condition.partition("=")
                if key == group and name in names.split("|"):
                    special |= more
            yield group, f"{option}-{name}", special


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
