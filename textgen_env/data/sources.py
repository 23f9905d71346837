"""Choose the corpus of a task: the user's data, the hub, or the bundled corpus, never silently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class CorpusSource:
    """Where to get the text of a task.

    Args:
        kind: ``auto``: ``data`` if given, else the bundled corpus; no network. ``real``: ``data``
            if given, else the hub dataset. ``local``, ``hub`` and ``bundled``: only that one.
        data: The user's file or folder, or ``hub:NAME``, from ``data_place``.
        columns: Columns of a table, or suffixes of parallel files.
        bundled_pairs: Number of training pairs of the bundled corpus.
        hub: The hub dataset of the task, if it has one.
    """

    kind: str
    data: str | None
    columns: Columns
    bundled_pairs: int
    hub: HubDataset | None = None

    def read(self, read_bundled: Callable[[int], Corpus], tedx: bool | None = None) -> Corpus:
        """Read the corpus. A bundled corpus has a note that says what it stands for, and why.

        Args:
            read_bundled: Reads the given number of training pairs of the bundled corpus.
            tedx: As in ``read_local``.

        Raises:
            UserError: The requested kind is not available.
        """
        if self.kind not in KINDS:
            raise unknown("corpus", self.kind, KINDS)
        if self.kind == "local" and (self.data or HUB).startswith(HUB):
            raise UserError("env.corpus=local needs env.data=FILE_OR_FOLDER")
        if self.data is not None:
            if self.kind in ("hub", "bundled"):
                raise UserError(
                    f"env.corpus={self.kind} does not use env.data={self.data}; "
                    "remove one of the two"
                )
            if self.data.startswith(HUB):
                return load_hub(parse_name(self.data.removeprefix(HUB), self.columns))
            return read_local(Path(self.data).expanduser(), self.columns, tedx)
        if self.kind in ("hub", "real"):
            if self.hub is None:
                raise UserError(
                    f"env.corpus={self.kind}: this task has no dataset of its own; give yours with "
                    "env.data=FILE_OR_FOLDER, or take synthetic text with env.corpus=bundled"
                )
            return load_hub(self.hub)
        corpus = read_bundled(self.bundled_pairs)
        return replace(corpus, notes=(*corpus.notes, *self._why_bundled()))

    def _why_bundled(self) -> list[str]:
        place, real = "", "env.data=FILE_OR_FOLDER"
        notes = []
        if self.hub is not None:
            place, real = f" in place of {self.hub.title}", f"{real} or env.corpus=hub"
            notes = [f"BUNDLED CORPUS{place}: these scores are not {self.hub.title}'s"]
        if self.kind == "auto":
            notes.append(
                f"note: using the bundled corpus because no env.data is given; {real} "
                "takes real text"
            )
        return notes
