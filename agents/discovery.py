"""What the command line can name: the variants that a package's modules offer in ``NAMES``, and the help in docstrings."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from textgen_env.errors import UserError

INJECTED = frozenset({"self", "policy", "oracle", "generator", "reward", "vocabulary_size"})


def variants(package: ModuleType) -> dict[str, partial[Any]]:
    """``{name: partial(Class, **settings)}`` over every module of ``package``."""
    found: dict[str, partial[Any]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        found |= getattr(module, "NAMES", {})
    return found


def settings(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters a user may set, with their defaults (None where there is none); a partial's own settings come first."""
    own = function.keywords if isinstance(function, partial) else {}
    parameters = inspect.signature(function.func if isinstance(function, partial) else function).parameters
    defaults = {
        name: None if parameter.default is parameter.empty else parameter.default
        for name, parameter in parameters.items()
        if name not in INJECTED and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    return {**defaults, **own}


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
