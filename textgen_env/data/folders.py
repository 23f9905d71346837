"""Find the files of a corpus in a user's folder; errors suggest the closest existing name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from textgen_env.errors import UserError

STEMS = {"train": ("train",), "valid": ("valid", "dev", "val", "validation"), "test": ("test",)}
_READABLE = os.R_OK | os.X_OK  # of a folder: its files can be listed and opened


def check_folder(folder: Path) -> None:
    """Raise UserError unless ``folder`` exists and its files can be listed and opened."""
    if not os.path.isdir(folder):  # Path.is_dir raises PermissionError
        listable = os.path.isdir(folder.parent) and os.access(folder.parent, _READABLE)
        siblings = folder.parent.iterdir() if listable else ()
        hint = _did_you_mean(folder.name, (path.name for path in siblings if path.is_dir()))
        raise UserError(f"no folder {folder}{hint}")
    if not os.access(folder, _READABLE):
        raise UserError(
            f"{folder} cannot be read (Permission denied); chmod u+rx it, or ask its owner"
        )


def has_file(folder: Path, name: str) -> bool:
    """Whether ``name`` or ``name.gz`` is in ``folder``."""
    return bool(_candidates(folder, name))


def has_split(folder: Path, split: str, *suffixes: str) -> bool:
    """Whether the files of a split are in ``folder``, under one of its names."""
    stems = STEMS[split]
    return any(all(has_file(folder, f"{stem}.{suffix}") for suffix in suffixes) for stem in stems)


def find_file(folder: Path, name: str) -> Path:
    """Find ``name`` or ``name.gz`` in ``folder``.

    Raises:
        UserError: Neither or both of them exist.
    """
    paths = _candidates(folder, name)
    if len(paths) == 2:
        raise UserError(f"{folder} has both {name} and {name}.gz; remove one")
    if not paths:
        names = sorted(
            {path.name.removesuffix(".gz") for path in folder.iterdir() if path.is_file()}
        )
        files = ", ".join(names[:12]) + (", …" if len(names) > 12 else "") if names else "none"
        raise UserError(
            f"no {name} (or {name}.gz) in {folder}{_did_you_mean(name, names)} (its files: {files})"
        )
    return paths[0]


def find_split(folder: Path, split: str, *suffixes: str) -> list[Path]:
    """Find one file per suffix under the split's first name that exists: ``dev.de``, ``dev.en``."""
    stems = STEMS[split]
    stem = next((stem for stem in stems if has_file(folder, f"{stem}.{suffixes[0]}")), stems[0])
    return [find_file(folder, f"{stem}.{suffix}") for suffix in suffixes]


def _candidates(folder: Path, name: str) -> list[Path]:
    return [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]}?" if matches else ""
