"""One file per task. A task module has ``ID`` and ``load(**options) -> Task``.

Its command-line presets are in ``experiments/conf/preset/ID.yaml`` or in its own ``PRESETS``, a
dict of the same form. A task outside this package is a module or a class with ``load`` (and,
optionally, ``PRESETS``), named by its dotted path.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from textgen_env.errors import UserError, unknown
from textgen_env.imports import import_object, is_path, named, search_working_directory

__all__ = ["find", "known_tasks", "tasks"]


@cache
def tasks() -> dict[str, ModuleType]:
    """``{id: module}`` of every built-in task."""
    modules = (
        importlib.import_module(f"{__name__}.{info.name}")
        for info in pkgutil.iter_modules(__path__)
    )
    return {module.ID: module for module in modules if hasattr(module, "ID")}


def known_tasks() -> dict[str, Any]:
    """The built-in tasks, and those that the user has named by their dotted path."""
    return {**tasks(), **{path: task for path, task in named().items() if _is_task(task)}}


def find(name: str) -> Any:
    """The built-in task with id ``name``, or the module or class at the dotted path ``name``.

    Returns:
        An object with ``load(**options) -> Task`` and, optionally, ``PRESETS``.

    Raises:
        UserError: there is no such task, it cannot be imported, or it has no ``load``.
    """
    if name in tasks():
        return tasks()[name]
    search_working_directory()
    if not (find_spec(name) if name.isidentifier() else is_path(name)):
        raise unknown("task", name, tasks())
    task = import_object("task", name)
    if not _is_task(task):
        raise UserError(f"task {name!r} has no load(); give a module or a class that has one")
    return task


def _is_task(task: Any) -> bool:
    return callable(getattr(task, "load", None))
