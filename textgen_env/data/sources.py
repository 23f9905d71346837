"""Which corpus a task gets: a folder, the hub, or the bundled one.  The choice and its reason are never silent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from textgen_env.data.corpus import Corpus
from textgen_env.data.hub import HubDataset, is_prepared, load_hub, unreachable_reason
from textgen_env.errors import UserError, unknown

KINDS = ("auto", "local", "hub", "bundled")


@dataclass(frozen=True)
class CorpusSource:
    """Where a task's text may come from.

    Args:
        kind: ``local``, ``hub`` or ``bundled``; ``auto``: ``data_dir`` if given, else the hub's data if
            prepared before, else the hub if it answers, else bundled
        data_dir: the user's folder
        bundled_pairs: training pairs of the bundled corpus
        hub: the data set, where the task has one
    """

    kind: str
    data_dir: str | None
    bundled_pairs: int
    hub: HubDataset | None = None

    def find(self, read: Callable[[Path], Corpus], read_bundled: Callable[[int], Corpus]) -> Corpus:
        """The corpus; only ``auto`` ever goes on to the next place, and a note says why.

        Args:
            read: reads this kind of text from a folder
            read_bundled: the bundled corpus with so many training pairs

        Raises:
            UserError: the kind asked for cannot be had.
        """
        if self.kind not in KINDS:
            raise unknown("corpus", self.kind, KINDS)
        if self.kind == "local" and not self.data_dir:
            raise UserError("env.corpus=local needs env.data_dir=FOLDER")
        if self.kind in ("hub", "bundled") and self.data_dir:
            raise UserError(
                f"env.corpus={self.kind} does not read env.data_dir={self.data_dir}; drop one of the two"
            )
        if self.kind == "hub" and self.hub is None:
            raise UserError(
                "this task has no data set on the hub; use env.data_dir=FOLDER or env.corpus=bundled"
            )
        if self.data_dir:
            return read(Path(self.data_dir).expanduser())
        notes: list[str] = []
        if self.hub is not None:
            notes.append(
                f"BUNDLED CORPUS in place of {self.hub.title}: these scores are not {self.hub.title}'s"
            )
        if self.kind != "bundled":
            corpus = self._from_hub()
            if isinstance(corpus, Corpus):
                return corpus
            notes.append(f"note: bundled was taken because: {corpus}")
        corpus = read_bundled(self.bundled_pairs)
        return replace(corpus, notes=(*corpus.notes, *notes))

    def _from_hub(self) -> Corpus | str:
        """The hub's corpus, or why ``auto`` cannot have it."""
        if self.hub is None:
            return "no env.data_dir given"
        if self.kind == "hub" or is_prepared(self.hub):
            return load_hub(self.hub)
        if reason := unreachable_reason(self.hub.name):
            return reason
        try:
            return load_hub(self.hub)
        except UserError as error:
            return str(error)
