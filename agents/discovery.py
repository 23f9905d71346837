"""Finds algorithms and policies by name, and reads their settings and help from signatures."""

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

from torch import nn

import agents.algorithms
import agents.policies
from agents.algorithms import Algorithm
from textgen_env.errors import UserError, unknown
from textgen_env.imports import import_object, is_path

# Parameters that the caller provides; every other parameter is a setting and needs a default.
# A policy gets its folder in a saved run, with what its settings refer to, when it is loaded.
ALGORITHM = ("policy", "oracle", "reward")
POLICY = ("vocabulary_size", "vocabulary", "folder", "template")


def variants(package: ModuleType) -> dict[str, partial[Any]]:
    """``{name: partial(Class, **settings)}`` from ``NAMES`` of all modules of ``package``."""
    named: dict[str, partial[Any]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        named |= getattr(module, "NAMES", {})
    return named


def find_algorithm(name: str) -> partial[Algorithm]:
    """The algorithm with that name, or at the dotted path ``module.Class``, with its settings.

    Raises:
        UserError: It does not exist, or is not a subclass of ``Algorithm``.
    """
    if is_path(name):
        algorithm = import_object("algorithm", name)
        if not (isinstance(algorithm, type) and issubclass(algorithm, Algorithm)):
            raise UserError(
                f"algorithm={name} is not a subclass of agents.algorithms.Algorithm; "
                "give module.Class"
            )
        return partial(algorithm)
    known = variants(agents.algorithms)
    if name not in known:
        raise unknown("algorithm", name, known)
    return known[name]


def find_policy(name: str) -> partial[Any]:
    """The policy with that name, or at the dotted path ``module.Class``, with its settings.

    Raises:
        UserError: It does not exist, or is not a module that takes ``vocabulary_size``.
    """
    if is_path(name):
        policy = import_object("policy", name)
        if not (isinstance(policy, type) and issubclass(policy, nn.Module)):
            raise UserError(
                f"policy {name} is not a subclass of torch.nn.Module; give module.Class"
            )
        if "vocabulary_size" not in inspect.signature(policy).parameters:
            raise UserError(f"policy {name}: its constructor needs a parameter vocabulary_size")
        return partial(policy)
    known = variants(agents.policies)
    if name not in known:
        raise unknown("architecture", name, known)
    return known[name]


def settings(function: Callable[..., Any], provided: Collection[str] = ()) -> dict[str, Any]:
    """``{name: default}`` of the parameters that a user may set.

    Args:
        function: a function or class, or a ``partial``, whose keywords replace the defaults.
        provided: parameters that the caller provides, ``ALGORITHM`` or ``POLICY``.

    Raises:
        UserError: Another parameter has no default.
    """
    fixed = function.keywords if isinstance(function, partial) else {}
    called = function.func if isinstance(function, partial) else function
    defaults = {}
    for name, parameter in inspect.signature(called).parameters.items():
        if name in provided or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is parameter.empty and name not in fixed:
            raise _without_default(called, name, provided)
        defaults[name] = parameter.default
    return {**defaults, **fixed}


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
    """``{parameter: description}`` from the ``Args:`` section of a docstring, each in one line."""
    documented = function.func if isinstance(function, partial) else function
    _, _, section = (inspect.getdoc(documented) or "").partition("Args:\n")
    lines: dict[str, str] = {}
    for line in section.split("\n"):
        start = re.match(r" {4}(\w+):\s*(.*)", line)
        if start:
            name = start[1]
            lines[name] = start[2]
        elif line.startswith(" " * 8) and lines:
            lines[name] += " " + line.strip()
        elif line.strip():
            break
    return lines


def build(function: Callable[..., Any], chosen: dict[str, Any], **available: Any) -> Any:
    """Call ``function`` with ``chosen`` and the ``available`` arguments that it names."""
    parameters = inspect.signature(function).parameters
    arguments = {name: value for name, value in available.items() if name in parameters}
    if missing := [name for name, value in arguments.items() if value is None]:
        raise UserError(f"{function.__name__} needs an {missing[0]}, but none is available")
    return function(**chosen, **arguments)


@contextmanager
def keys_of(group: str, settings: Iterable[str]) -> Iterator[None]:
    """Name the key in a UserError about a setting: ``rate=3`` becomes ``algorithm.rate=3``."""
    try:
        yield
    except UserError as error:
        named = re.match(r"(\w+)[\w.]*=", str(error))
        if named and named[1] in settings:
            raise UserError(f"{group}.{error}") from error
        raise
