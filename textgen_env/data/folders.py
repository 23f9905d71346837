"""Finding a corpus's files in a user's folder; what is missing is named, with the nearest name that is there."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from textgen_env.errors import UserError

STEMS = {"train": ("train",), "valid": ("valid", "dev", "val", "validation"), "test": ("test",)}
READ = os.R_OK | os.X_OK  # of a folder: its files may be listed and opened


def check_folder(folder: Path) -> None:
    """UserError where there is no such folder, or its files may not be listed and opened."""
    if not os.path.isdir(folder):  # Path.is_dir raises where it may not look
        beside = (
            folder.parent.iterdir()
            if os.path.isdir(folder.parent) and os.access(folder.parent, READ)
            else ()
        )
        raise UserError(
            f"no folder {folder}{_did_you_mean(folder.name, (path.name for path in beside if path.is_dir()))}"
        )
    if not os.access(folder, READ):
        raise UserError(
            f"{folder} cannot be read (Permission denied); chmod u+rx it, or ask its owner"
        )


def holds(folder: Path, name: str) -> bool:
    """Whether ``name`` or ``name.gz`` is there."""
    return bool(_candidates(folder, name))


def find(folder: Path, name: str) -> Path:
    """``name`` or ``name.gz`` in ``folder``; UserError unless exactly one of them is there."""
    paths = _candidates(folder, name)
    if len(paths) == 2:
        raise UserError(f"{folder} holds both {name} and {name}.gz; remove one")
    if not paths:
        names = sorted(
            {path.name.removesuffix(".gz") for path in folder.iterdir() if path.is_file()}
        )
        listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "") if names else "nothing"
        raise UserError(
            f"no {name} (or {name}.gz) in {folder}{_did_you_mean(name, names)} (it holds: {listed})"
        )
    return paths[0]


def find_split(folder: Path, split: str, *suffixes: str) -> list[Path]:
    """The files of a split, one a suffix, under the first of the split's names that is there: ``dev.de``, ``dev.en``."""
    stem = next(
        (stem for stem in STEMS[split] if holds(folder, f"{stem}.{suffixes[0]}")), STEMS[split][0]
    )
    return [find(folder, f"{stem}.{suffix}") for suffix in suffixes]


def _candidates(folder: Path, name: str) -> list[Path]:
    return [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
