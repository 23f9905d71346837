"""The keys of the command line, read from signatures: default, type, range, choices and meaning.

The keys of a command are the fields of its dataclass in ``conf``. Those of a group are the
parameters of a task, a policy or an algorithm, which are one file each. Types and ranges come from
the annotations, meanings from the ``Args:`` section.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Collection
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import agents.algorithms
import agents.policies
from agents import discovery
from cli.ranges import RANGES
from conf import MAY_BE_EMPTY
from textgen_env.errors import Range
from textgen_env.tasks import find, tasks

# What finds the choice that a dotted path names, and the parameters that are no keys.
GROUPS: dict[str, tuple[Callable[[str], Callable[..., Any]], Collection[str]]] = {
    "env": (lambda name: find(name).load, ()),
    "teacher": (discovery.find_policy, discovery.POLICY),
    "student": (discovery.find_policy, discovery.POLICY),
    "algorithm": (discovery.find_algorithm, discovery.ALGORITHM),
}
SCALARS = (int, float, bool, str)
OVERRIDES = {  # what the key ``overrides`` of a command holds, by what it passes on
    "all": "keys of the runs, filled in from the rest of the command line",
    "env": "keys of the run's task, filled in from the command line: env.data_dir=FOLDER if its "
    "corpus was moved, and env=module.Task, repeated, if the task is not part of this project; "
    "also teacher.path=PLACE if its teacher was moved",
}


class Key(NamedTuple):
    """A key of the command line.

    ``allowed`` is the range of a number, ``choices`` are the values of a ``Literal``, and ``empty``
    says whether an empty string or list is a value.
    """

    default: Any
    type: Any
    meaning: str
    allowed: Range | None = None
    choices: tuple[Any, ...] = ()
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
    policies: dict[str, Callable[..., Any] | None] = dict(discovery.variants(agents.policies))
    if group == "student":
        return policies
    if group == "teacher":
        del policies["hf"]  # it teaches as teacher.path=hf:…
        return {**policies, "exact": None}
    return dict(discovery.variants(agents.algorithms))


def add_option(group: str, name: str) -> None:
    """Import ``name``, a dotted path, as a choice of ``group``."""
    finder, provided = GROUPS[group]
    discovery.settings(finder(name), provided)  # refuses a parameter without a default
    options(group)[name] = finder(name)


@cache
def option_keys(group: str, name: str) -> dict[str, Key]:
    """The keys of the option ``name``: the parameters that a user may set."""
    function = options(group)[name]
    return read_keys(function, GROUPS[group][1]) if function else {}


@cache
def command_keys(command: str) -> dict[str, Key]:
    """The keys of a command, without those of its groups."""
    config = config_of(command)
    known = read_keys(config)
    if passed := getattr(config, "passes", None):
        known["overrides"] = Key([], list[str], OVERRIDES[passed])
    return known


def keys(command: str, choices: dict[str, str]) -> dict[str, Key]:
    """``{dotted key: Key}`` of a command, for these choices of its groups."""
    return command_keys(command) | group_keys(choices)


def group_keys(choices: dict[str, str]) -> dict[str, Key]:
    """``{dotted key: Key}`` of these choices of groups."""
    return {
        f"{group}.{key}": known
        for group, name in choices.items()
        for key, known in option_keys(group, name).items()
    }


def read_keys(function: Callable[..., Any], provided: Collection[str] = ()) -> dict[str, Key]:
    """The keys of a function or class; a parameter that is a dataclass has keys of its own."""
    annotations, meanings, known = _annotations(function), _meanings(function), {}
    for name, default in discovery.settings(function, provided).items():
        if dataclasses.is_dataclass(default):
            inner = read_keys(type(default))  # type: ignore[arg-type]
            known |= {f"{name}.{key}": value for key, value in inner.items()}
            continue
        hint, notes = annotations.get(name, (Any, []))
        kind, choices = _kind(hint, default)
        allowed = next((note for note in notes if isinstance(note, Range)), RANGES.get(name))
        empty = default == "" or MAY_BE_EMPTY in notes
        value = list(default) if isinstance(default, list | tuple) else default
        known[name] = Key(value, kind, meanings.get(name, ""), allowed, choices, empty)
    return known


def _annotations(function: Callable[..., Any]) -> dict[str, tuple[Any, list[Any]]]:
    """The type of each parameter, and what ``Annotated`` adds to it."""
    called = inspect.unwrap(function.func if isinstance(function, partial) else function)
    if inspect.isclass(called) and not dataclasses.is_dataclass(called):
        called = inspect.unwrap(called.__init__)
    try:
        hints = get_type_hints(called, include_extras=True)
        return {name: (kind, _notes(hints[name])) for name, kind in get_type_hints(called).items()}
    except NameError:  # a name that is only imported for type checking
        return {}


def _notes(hint: Any) -> list[Any]:
    inner = [note for part in get_args(hint) for note in _notes(part)]
    return [*getattr(hint, "__metadata__", ()), *inner]


def _meanings(function: Callable[..., Any]) -> dict[str, str]:
    """The ``Args:`` lines of a function, or of a class and its bases."""
    documented = reversed(inspect.getmro(function)) if inspect.isclass(function) else [function]
    return {name: line for item in documented for name, line in discovery.help_lines(item).items()}


def _kind(hint: Any, default: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type for OmegaConf (that of the default if there is no annotation) and the choices."""
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    plain = [member for member in members if member is not NoneType]
    is_list = get_origin(plain[0]) in (list, tuple)
    kind = get_args(plain[0])[0] if is_list else plain[0]
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if choices:
        kind = str if all(isinstance(choice, str) for choice in choices) else Any
    elif len(plain) > 1 or kind not in SCALARS:
        kind = type(default) if type(default) in SCALARS else Any
    if is_list:
        kind = list[kind]  # type: ignore[valid-type]
    nullable = kind is not Any and (default is None or NoneType in members)
    return (kind | None if nullable else kind), choices
