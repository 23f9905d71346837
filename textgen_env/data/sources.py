"""Choose the corpus of a task: a folder, the hub, or the bundled corpus, never silently."""

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
    """Where to get the text of a task.

    Args:
        kind: ``local``, ``hub``, ``bundled``, or ``auto``. ``auto`` takes ``data_dir`` if given,
            else the hub dataset if it is prepared or the hub is reachable, else the bundled corpus.
        data_dir: The user's folder.
        bundled_pairs: Number of training pairs of the bundled corpus.
        hub: The hub dataset of the task, if it has one.
    """

    kind: str
    data_dir: str | None
    bundled_pairs: int
    hub: HubDataset | None = None

    def read(self, read: Callable[[Path], Corpus], read_bundled: Callable[[int], Corpus]) -> Corpus:
        """Read the corpus. Only ``auto`` falls back, and a note of the corpus gives the reason.

        Args:
            read: Reads this kind of text from a folder.
            read_bundled: Reads the given number of training pairs of the bundled corpus.

        Raises:
            UserError: The requested kind is not available.
        """
        if self.kind not in KINDS:
            raise unknown("corpus", self.kind, KINDS)
        if self.kind == "local" and not self.data_dir:
            raise UserError("env.corpus=local needs env.data_dir=FOLDER")
        if self.kind in ("hub", "bundled") and self.data_dir:
            raise UserError(
                f"env.corpus={self.kind} does not use env.data_dir={self.data_dir}; "
                "remove one of the two"
            )
        if self.kind == "hub" and self.hub is None:
            raise UserError(
                "this task has no hub dataset; use env.data_dir=FOLDER or env.corpus=bundled"
            )
        if self.data_dir:
            return read(Path(self.data_dir).expanduser())
        notes: list[str] = []
        if self.hub is not None:
            notes.append(
                f"BUNDLED CORPUS in place of {self.hub.title}: "
                f"these scores are not {self.hub.title}'s"
            )
        if self.kind != "bundled":
            corpus = self._read_hub()
            if isinstance(corpus, Corpus):
                return corpus
            notes.append(f"note: using the bundled corpus because: {corpus}")
        corpus = read_bundled(self.bundled_pairs)
        return replace(corpus, notes=(*corpus.notes, *notes))

    def _read_hub(self) -> Corpus | str:
        """Read the hub dataset; for ``auto``, return the reason if that is not possible."""
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
