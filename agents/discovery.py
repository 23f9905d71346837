"""What a name on the command line stands for: algorithms and policies, their settings, and the help in their docstrings."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import agents.algorithms
import agents.policies
from agents.algorithms import Algorithm
from textgen_env.errors import UserError, unknown
from textgen_env.imports import import_object

# What the caller provides by the parameter's name; every other parameter is a setting and needs a default.
ALGORITHM = ("policy", "oracle", "reward")
POLICY = ("vocabulary_size",)


def variants(package: ModuleType) -> dict[str, partial[Any]]:
    """``{name: partial(Class, **settings)}`` over ``NAMES`` of every module of ``package``."""
    found: dict[str, partial[Any]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        found |= getattr(module, "NAMES", {})
    return found


def find_algorithm(name: str) -> partial[Algorithm]:
    """The algorithm of that name, or the one at a dotted path, ``module.Class``, with the settings that the name implies.

    Raises:
        UserError: there is none, or the class at the path is no ``Algorithm``.
    """
    if "." in name:
        return partial(_imported(name))
    known = variants(agents.algorithms)
    if name not in known:
        raise unknown("algorithm", name, known)
    return known[name]


def find_policy(name: str) -> partial[Any]:
    """The policy of that name with the settings that the name implies; UserError where there is none."""
    known = variants(agents.policies)
    if name not in known:
        raise unknown("architecture", name, known)
    return known[name]


def _imported(path: str) -> type[Algorithm]:
    algorithm = import_object("algorithm", path)
    if not (isinstance(algorithm, type) and issubclass(algorithm, Algorithm)):
        raise UserError(
            f"algorithm={path} is not a subclass of agents.algorithms.Algorithm; give module.Class"
        )
    return algorithm


def settings(function: Callable[..., Any], provided: Collection[str] = ()) -> dict[str, Any]:
    """The parameters that a user may set, with their defaults; a partial's own settings come before its function's.

    Args:
        function: what is called with them.
        provided: parameters that the caller provides, ``ALGORITHM`` or ``POLICY``.

    Raises:
        UserError: another parameter has no default.
    """
    own = function.keywords if isinstance(function, partial) else {}
    called = function.func if isinstance(function, partial) else function
    defaults = {}
    for name, parameter in inspect.signature(called).parameters.items():
        if name in provided or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is parameter.empty and name not in own:
            raise _without_default(called, name, provided)
        defaults[name] = parameter.default
    return {**defaults, **own}


def _without_default(
    function: Callable[..., Any], parameter: str, provided: Collection[str]
) -> UserError:
    known = f" and is not one of {', '.join(provided)}" if provided else ""
    noise = parameter == "generator" and provided == ALGORITHM
    hint = "draw noise by clock.uniform instead" if noise else "give it a default"
    return UserError(
        f"{function.__qualname__}: parameter {parameter!r} has no default{known}; {hint}"
    )


def help_lines(function: Callable[..., Any]) -> dict[str, str]:
    """``{parameter: one line}`` from the ``Args:`` section of a docstring."""
    documented = function.func if isinstance(function, partial) else function
    _, _, section = (inspect.getdoc(documented) or "").partition("Args:\n")
    found: dict[str, str] = {}
    for line in section.split("\n"):
        start = re.match(r" {4}(\w+):\s*(.*)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        elif line.startswith(" " * 8) and found:
            found[name] += " " + line.strip()
        elif line.strip():
            break
    return found


def build(function: Callable[..., Any], chosen: dict[str, Any], **available: Any) -> Any:
    """Call ``function`` with the user's settings and with those of ``available`` that its parameters name."""
    parameters = inspect.signature(function).parameters
    wanted = {name: value for name, value in available.items() if name in parameters}
    if absent := [name for name, value in wanted.items() if value is None]:
        raise UserError(f"{function.__name__} needs an {absent[0]}, and there is none here")
    return function(**chosen, **wanted)


@contextmanager
def keys_of(group: str, settings: Iterable[str]) -> Iterator[None]:
    """A UserError about one of the ``settings`` of ``group`` names its key: ``rate=3: …`` → ``algorithm.rate=3: …``."""
    try:
        yield
    except UserError as error:
        named = re.match(r"(\w+)=", str(error))
        if named and named[1] in settings:
            raise UserError(f"{group}.{error}") from error
        raise
