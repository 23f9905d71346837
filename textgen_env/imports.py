"""Importing what the user names by a dotted path.

A path that stands in a downloaded folder is imported only if the user has named it too, on the
command line or in a program: ``check_named``.
"""

from __future__ import annotations

import os
import pkgutil
import sys
from typing import Any

from textgen_env.errors import UserError

_named: dict[str, Any] = {}  # dotted path → object


def is_path(name: str) -> bool:
    """Whether ``name`` is a dotted path, ``module.name`` or ``module:name``."""
    return "." in name or ":" in name


def named() -> dict[str, Any]:
    """``{dotted path: object}`` of all that this process has imported by ``import_object``."""
    return dict(_named)


def check_named(kind: str, name: str, place: object) -> None:
    """Refuse a dotted path of a run folder that the user has not named.

    Args:
        kind: what the path names, for the error message
        name: a name; one that is no dotted path is not checked
        place: the folder or file that has it

    Raises:
        UserError: nobody has named it, so it must not be imported.
    """
    if is_path(name) and name not in _named:
        raise UserError(
            f"{place}: its {kind} {name} is not part of this project and was not named on the "
            f"command line; a run folder imports no code: add imports=[{name}] if you trust it"
        )


def import_object(kind: str, path: str) -> Any:
    """Import ``module``, ``module.name`` or ``module:name``, also from the working directory.

    Args:
        kind: what the path names, for the error message
        path: the dotted path

    Raises:
        UserError: the import failed, for whatever reason.
    """
    search_working_directory()
    try:
        _named[path] = pkgutil.resolve_name(path)
        return _named[path]
    except Exception as error:  # importing runs the user's code
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        raise UserError(
            f"cannot import {kind} {path!r} ({reason}); give module.name of a file in the working "
            "directory or of an installed package"
        ) from error


def search_working_directory() -> None:
    """Let imports find modules in the working directory, after all others."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
