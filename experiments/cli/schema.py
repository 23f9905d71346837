"""Structured configs for Hydra: a command's keys from ``conf``, a group's from signatures.

A task, a policy and an algorithm are one file each; their parameters are keys, with the type of the
annotation and the meaning from the ``Args:`` section.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import agents.algorithms
import agents.policies
from agents.discovery import (
    ALGORITHM,
    POLICY,
    find_algorithm,
    find_policy,
    help_lines,
    settings,
    variants,
)
from cli.ranges import RANGES
from textgen_env.errors import Range
from textgen_env.tasks import find, tasks

GROUPS = ("env", "teacher", "student", "algorithm")
PROVIDED = {"env": (), "teacher": POLICY, "student": POLICY, "algorithm": ALGORITHM}
FINDERS: dict[str, Callable[[str], Callable[..., Any]]] = {
    "env": lambda name: find(name).load,  # type: ignore[no-any-return]
    "teacher": find_policy,
    "student": find_policy,
    "algorithm": find_algorithm,
}
SCALARS = (int, float, bool, str)


class Key(NamedTuple):
    """A key of the command line.

    ``choices`` are the values of a ``Literal``, ``allowed`` is the range of a number, and ``empty``
    says whether an empty string is a value.
    """

    default: Any
    type: Any
    meaning: str
    allowed: Range | None
    choices: tuple[str, ...] = ()
    empty: bool = False


def config_of(command: str) -> type:
    """The dataclass of a command's own keys."""
    return importlib.import_module(f"conf.{command}").Config  # type: ignore[no-any-return]


def default_groups(command: str) -> dict[str, str]:
    """``{group: default choice}`` of a command; empty if it has no groups."""
    return getattr(config_of(command), "groups", {})


@cache
def options(group: str) -> dict[str, Callable[..., Any] | None]:
    """``{name: class or function}`` of the choices of a group; None for a choice without keys."""
    if group == "env":
        return {name: task.load for name, task in tasks().items()}
    policies: dict[str, Callable[..., Any] | None] = dict(variants(agents.policies))
    if group == "student":
        return policies
    if group == "teacher":
        del policies["hf"]  # it teaches as teacher.path=hf:…
        return {**policies, "exact": None}
    return dict(variants(agents.algorithms))


def add_option(group: str, name: str) -> None:
    """Import ``name``, a dotted path, as a choice of ``group``."""
    function = FINDERS[group](name)
    settings(function, PROVIDED[group])  # refuses a parameter without a default
    options(group)[name] = function


@cache
def structured(group: str, name: str) -> type:
    """A dataclass of the parameters of the option ``name`` that a user may set."""
    function = options(group)[name]
    known = {} if function is None else settings(function, PROVIDED[group])
    return _dataclass(name.replace(".", "_").replace("-", "_"), function, known)


def _dataclass(name: str, function: Callable[..., Any] | None, known: dict[str, Any]) -> type:
    """A dataclass of the settings ``known``; one that is a dataclass has keys of its own."""
    hints, meanings = (_hints(function), help_lines(function)) if function else ({}, {})
    fields = []
    for parameter, default in known.items():
        if dataclasses.is_dataclass(default):
            kind: Any = type(default)
            kind = _dataclass(kind.__name__, kind, settings(kind))
            fields.append((parameter, kind, dataclasses.field(default_factory=kind)))
            continue
        kind, choices = _kind(hints.get(parameter, Any), default)
        allowed = RANGES.get(parameter)
        metadata = {
            "meaning": meanings.get(parameter, ""),
            "range": allowed,
            "choices": choices,
            "empty": default == "",
        }
        value: Any = dataclasses.field(default=default, metadata=metadata)
        if isinstance(default, list | tuple):
            value = dataclasses.field(default_factory=partial(list, default), metadata=metadata)
        fields.append((parameter, kind, value))
    return dataclasses.make_dataclass(name, fields)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    called = function.func if isinstance(function, partial) else function
    try:
        return get_type_hints(
            inspect.unwrap(called.__init__ if inspect.isclass(called) else called)
        )
    except NameError:  # a name that is only imported for type checking
        return {}


def _kind(hint: Any, default: Any) -> tuple[Any, tuple[str, ...]]:
    """The type for OmegaConf (that of the default if there is no annotation) and the choices."""
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    plain = [member for member in members if member is not NoneType]
    kind, choices = plain[0], ()
    if get_origin(kind) is Literal:
        kind, choices = str, get_args(kind)
    if get_origin(kind) in (list, tuple) and get_args(kind)[0] in SCALARS:
        kind = list[get_args(kind)[0]]  # type: ignore[misc]
    elif len(plain) > 1 or kind not in SCALARS:
        kind = type(default) if type(default) in SCALARS else Any
    nullable = kind is not Any and (default is None or NoneType in members)
    return (kind | None if nullable else kind), choices


def keys(command: str, choices: dict[str, str]) -> dict[str, Key]:
    """``{dotted key: Key}`` of a command, for these choices of its groups."""
    known = dict(_flat(config_of(command)))
    for group, name in choices.items():
        known |= _flat(structured(group, name), f"{group}.")
    return known


@cache
def _flat(cls: type, prefix: str = "") -> dict[str, Key]:
    hints, flat = get_type_hints(cls), {}
    for field in dataclasses.fields(cls):
        name, kind, metadata = prefix + field.name, hints[field.name], field.metadata
        if dataclasses.is_dataclass(kind):
            flat |= _flat(kind, f"{name}.")  # type: ignore[arg-type]
            continue
        default = field.default
        if default is dataclasses.MISSING:
            default = field.default_factory()  # type: ignore[misc]
        flat[name] = Key(
            default,
            kind,
            metadata["meaning"],
            metadata["range"],
            metadata.get("choices", ()),
            metadata["empty"],
        )
    return flat
