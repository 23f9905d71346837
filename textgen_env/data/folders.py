"""Find the files of a corpus in a user's folder; errors suggest the closest existing name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from textgen_env.errors import UserError

STEMS = {"train": ("train",), "valid": ("valid", "dev", "val", "validation"), "test": ("test",)}
_READABLE = os.R_OK | os.X_OK  # of a folder: its files can be listed and opened


def check_exists(path: Path) -> None:
    """Raise UserError unless ``path`` is a file, or a folder whose files can be listed."""
    if os.path.isfile(path):
        return
    if not os.path.isdir(path):  # Path.is_dir raises PermissionError
        listable = os.path.isdir(path.parent) and os.access(path.parent, _READABLE)
        siblings = path.parent.iterdir() if listable else ()
        kind = "file" if path.suffix else "folder"
        raise UserError(f"no {kind} {path}{did_you_mean(path.name, (p.name for p in siblings))}")
    if not os.access(path, _READABLE):
        raise UserError(
            f"{path} cannot be read (Permission denied); chmod u+rx it, or ask its owner"
        )


def has_split(folder: Path, split: str, *suffixes: str) -> bool:
    """Whether the files of a split are in ``folder``, under one of its names."""
    return any(
        all(_candidates(folder, f"{stem}.{suffix}") for suffix in suffixes) for stem in STEMS[split]
    )


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
            f"no {name} (or {name}.gz) in {folder}{did_you_mean(name, names)} (its files: {files})"
        )
    return paths[0]


def find_split(folder: Path, split: str, *suffixes: str) -> list[Path]:
    """Find one file per suffix under the name of the split that exists: ``dev.de``, ``dev.en``.

    Raises:
        UserError: A file is missing, or the split has files under two names.
    """
    names = {
        stem: [f"{stem}.{suffix}" for suffix in suffixes if _candidates(folder, f"{stem}.{suffix}")]
        for stem in STEMS[split]
    }
    present = [stem for stem in names if names[stem]] or [STEMS[split][0]]
    if len(present) > 1:
        first, second, *_ = (names[stem][0] for stem in present)
        raise UserError(f"{folder} has both {first} and {second}; keep one")
    return [find_file(folder, f"{present[0]}.{suffix}") for suffix in suffixes]


def _candidates(folder: Path, name: str) -> list[Path]:
    """The files ``name`` and ``name.gz`` of ``folder`` that exist."""
    return [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``; did you mean X?`` with the closest of ``names``; empty if none is close."""
    matches = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]}?" if matches else ""
