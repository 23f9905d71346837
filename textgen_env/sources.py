"""Which corpus a task gets: a folder, the hub, or the bundled one.  The choice and its reason are never silent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from textgen_env.corpus import Corpus, Pairs
from textgen_env.errors import UserError, unknown
from textgen_env.hub import HubSet, is_prepared, load_hub, why_unreachable

KINDS = ("auto", "local", "hub", "bundled")
Rows = dict[str, list[tuple[str, tuple[str, ...]]]]  # split → (source, its references)


def find_corpus(
    kind: str, data_dir: str | None, read: Callable[[Path], Corpus], write: Callable[[], Corpus], hub: HubSet | None
) -> Corpus:
    """``auto``: ``data_dir`` if given, else the hub's data if prepared before, else the hub if it answers, else bundled.

    read, write: how this kind of text is read from a folder, and how the bundled corpus is written.
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
        return _named(write(), hub)
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
    corpus = _named(write(), hub)
    return replace(corpus, notes=(*corpus.notes, f"note: bundled was taken because: {reason}"))


def bundled_corpus(generate: Callable[[int, int, int, int], Rows], pairs: int, seed: int) -> Corpus:
    """What a grammar of the project's own writes: ``pairs`` for training, a tenth of that (at most 1,000) held out twice.

    generate: seed, and how many rows of each split.
    """
    held_out = max(1, min(1_000, pairs // 10))
    rows = generate(seed, pairs, held_out, held_out)
    splits = {split: Pairs([source for source, _ in each], [texts for _, texts in each]) for split, each in rows.items()}
    note = "BUNDLED CORPUS: artificial text; its scores compare with each other only"
    return Corpus("bundled", "bundled", f"written by this project's grammar, seed {seed}", splits, (note,))


def _named(corpus: Corpus, hub: HubSet | None) -> Corpus:
    """The bundled ``corpus``, saying whose place it takes."""
    if hub is None:
        return corpus
    return replace(corpus, notes=(*corpus.notes, f"BUNDLED CORPUS in place of {hub.title}: these scores are not {hub.title}'s"))
