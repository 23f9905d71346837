"""Which corpus a task gets: a folder, the hub, or the bundled one.  The choice and its reason are never silent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from textgen_env.data.corpus import Corpus
from textgen_env.data.hub import HubSet, is_prepared, load_hub, why_unreachable
from textgen_env.errors import UserError, unknown

KINDS = ("auto", "local", "hub", "bundled")


def find_corpus(
    kind: str, data_dir: str | None, read: Callable[[Path], Corpus], read_own: Callable[[], Corpus], hub: HubSet | None
) -> Corpus:
    """``auto``: ``data_dir`` if given, else the hub's data if prepared before, else the hub if it answers, else bundled.

    read, read_own: read this kind of text from a folder, and the bundled corpus.
    UserError when the kind asked for cannot be had; only ``auto`` ever goes on to the next, and says why.
    """
    if kind not in KINDS:
        raise unknown("corpus", kind, KINDS)
    if kind == "local" and not data_dir:
        raise UserError("env.corpus=local needs env.data_dir=FOLDER")
    if kind in ("hub", "bundled") and data_dir:
        raise UserError(f"env.corpus={kind} does not read env.data_dir={data_dir}; drop one of the two")
    if data_dir:
        return read(Path(data_dir).expanduser())
    if kind == "bundled":
        return _named(read_own(), hub)
    if hub is None:
        if kind == "hub":
            raise UserError("this task has no data set on the hub; use env.data_dir=FOLDER or env.corpus=bundled")
        reason = "no env.data_dir given"
    elif kind == "hub" or is_prepared(hub):
        return load_hub(hub)
    else:
        reason = why_unreachable(hub.name)
        if not reason:
            try:
                return load_hub(hub)
            except UserError as error:
                reason = str(error)
    corpus = _named(read_own(), hub)
    return replace(corpus, notes=(*corpus.notes, f"note: bundled was taken because: {reason}"))


def _named(corpus: Corpus, hub: HubSet | None) -> Corpus:
    """The bundled ``corpus``, saying whose place it takes."""
    if hub is None:
        return corpus
    return replace(corpus, notes=(*corpus.notes, f"BUNDLED CORPUS in place of {hub.title}: these scores are not {hub.title}'s"))
