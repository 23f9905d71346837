"""Importing what the user names by a dotted path."""

from __future__ import annotations

import os
import pkgutil
import sys
from typing import Any

from textgen_env.errors import UserError


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
        return pkgutil.resolve_name(path)
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
