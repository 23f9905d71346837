"""Which corpus a task gets: a folder, the hub, or the bundled one.  The choice and its reason are never silent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from textgen_env.corpus import Corpus, Pairs
from textgen_env.errors import UserError, unknown
from textgen_env.hub import PARQUET, is_prepared, load_hub, why_unreachable
from textgen_env.readers import read_folder

KINDS = ("auto", "local", "hub", "bundled")


def find_corpus(
    kind: str,
    data_dir: str | None,
    source: str,
    target: str,
    *,
    unescape: bool,
    hub: tuple[str, str, str] = ("", "", PARQUET),
    bundled_pairs: int = 30_000,
    seed: int = 0,
) -> Corpus:
    """``auto``: ``data_dir`` if given, else the hub's data if prepared before, else the hub if it answers, else bundled.

    hub: data set, configuration and revision; no data set, no hub.  bundled_pairs, seed: how much the grammar writes.
    UserError when the kind asked for cannot be had; only ``auto`` ever goes on to the next, and says why.
    """
    if kind not in KINDS:
        raise unknown("corpus", kind, KINDS)
    if kind == "local" and not data_dir:
        raise UserError("env.corpus=local needs env.data_dir=FOLDER")
    if kind in ("hub", "bundled") and data_dir:
        raise UserError(f"env.corpus={kind} does not read env.data_dir={data_dir}; drop one of the two")
    if kind == "hub" and not hub[0]:
        raise UserError("this task has no data set on the hub; use env.data_dir=FOLDER or env.corpus=bundled")
    if data_dir:
        return read_folder(Path(data_dir).expanduser(), source, target, unescape)
    name, config, revision = hub
    if kind == "hub":
        return load_hub(name, config, source, target, revision)
    if kind == "bundled":
        return _bundled(source, target, bundled_pairs, seed)
    if name and is_prepared(name, config, source, target, revision):
        return load_hub(name, config, source, target, revision)
    reason = why_unreachable(name) if name else "no env.data_dir given"
    if not reason:
        try:
            return load_hub(name, config, source, target, revision)
        except UserError as error:
            reason = str(error)
    corpus = _bundled(source, target, bundled_pairs, seed)
    return replace(corpus, notes=(*corpus.notes, f"note: bundled was taken because: {reason}"))


def _bundled(source: str, target: str, pairs: int, seed: int) -> Corpus:
    """The project's own German–English corpus, in either direction."""
    if {source, target} != {"de", "en"}:
        raise UserError(f"the bundled corpus is German–English (de, en), not {source}–{target}; use env.data_dir=FOLDER")
    from textgen_env.bundled import generate  # only here: its grammar takes memory that a run on real text does not need

    held_out = max(1, min(1_000, pairs // 10))
    turn = 1 if source == "de" else -1
    splits = {
        split: Pairs([row[::turn][0] for row in rows], [(row[::turn][1],) for row in rows])
        for split, rows in generate(seed, pairs, held_out, held_out).items()
    }
    origin = f"written by this project's grammar, seed {seed}"
    return Corpus(
        "bundled", "bundled", origin, splits, ("BUNDLED CORPUS: artificial text; its scores compare with each other only",)
    )
