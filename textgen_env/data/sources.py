"""Choose the corpus of a task: the user's data, the hub, or the bundled corpus, never silently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from textgen_env.data.columns import Columns
from textgen_env.data.corpus import Corpus
from textgen_env.data.hub import HubDataset, load_hub, parse_name
from textgen_env.data.local import read_local
from textgen_env.errors import UserError, unknown

KINDS = ("auto", "real", "local", "hub", "bundled")
HUB = "hub:"


def data_place(data: str | None, data_dir: str | None) -> str | None:
    """The user's data by either name of the option, or None; UserError if both are given."""
    if data is not None and data_dir is not None:
        raise UserError(
            f"env.data={data} and env.data_dir={data_dir}: two names of one key; give one"
        )
    place = data_dir if data is None else data
    if place is not None and not place.strip():
        raise UserError("env.data is empty; give a file or a folder, or leave it out")
    return place


def read_corpus(
    kind: str,
    data: str | None,
    columns: Columns,
    read_bundled: Callable[[], Corpus],
    hub: HubDataset | None = None,
    tedx: bool | None = None,
) -> Corpus:
    """Read the text of a task. A bundled corpus has notes that say what it stands for, and why.

    Args:
        kind: ``auto``: ``data`` if given, else the bundled corpus; no network. ``real``: ``data``
            if given, else the hub dataset. ``local``, ``hub`` and ``bundled``: only that one.
        data: The user's file or folder, or ``hub:NAME``, from ``data_place``.
        columns: Columns of a table, or suffixes of parallel files.
        read_bundled: Reads the bundled corpus.
        hub: The hub dataset of the task, if it has one.
        tedx: As in ``read_local``.

    Raises:
        UserError: The requested kind is not available.
    """
    if kind not in KINDS:
        raise unknown("corpus", kind, KINDS)
    if kind == "local" and (data or HUB).startswith(HUB):
        raise UserError("env.corpus=local needs env.data=FILE_OR_FOLDER")
    if data is not None:
        if kind in ("hub", "bundled"):
            raise UserError(
                f"env.corpus={kind} does not use env.data={data}; remove one of the two"
            )
        if data.startswith(HUB):
            return load_hub(parse_name(data.removeprefix(HUB), columns))
        return read_local(Path(data).expanduser(), columns, tedx)
    if kind in ("hub", "real"):
        if hub is None:
            raise UserError(
                f"env.corpus={kind}: this task has no dataset of its own; give yours with "
                "env.data=FILE_OR_FOLDER, or take synthetic text with env.corpus=bundled"
            )
        return load_hub(hub)
    corpus, real, notes = read_bundled(), "env.data=FILE_OR_FOLDER", []
    if hub is not None:
        real += " or env.corpus=hub"
        notes.append(f"BUNDLED CORPUS in place of {hub.title}: these scores are not {hub.title}'s")
    if kind == "auto":
        notes.append(
            f"note: using the bundled corpus because no env.data is given; {real} takes real text"
        )
    return replace(corpus, notes=(*corpus.notes, *notes))
