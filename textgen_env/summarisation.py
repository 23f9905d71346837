"""What summarisation tasks share: where documents and summaries come from, and the World they become."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from textgen_env.corpus import Corpus
from textgen_env.data.bundled import read_bundled
from textgen_env.errors import UserError
from textgen_env.hub import HubSet
from textgen_env.jsonl import read_summaries
from textgen_env.sources import find_corpus
from textgen_env.vocabulary import subwords
from textgen_env.world import World, build


def find_summaries(kind: str, data_dir: str | None, genre: str, hub: HubSet, bundled_pairs: int) -> Corpus:
    """Find documents to summarize; see ``find_corpus`` for ``kind``.

    Args:
        genre: The bundled corpus, "news" or "dialogues".
        bundled_pairs: Training pairs of it.
    """
    return find_corpus(kind, data_dir, read_summaries, lambda: read_bundled(genre, bundled_pairs), hub)


def seen_by_rouge(id: str, text: Corpus) -> Corpus:
    """``text`` with a note on what ROUGE does not see, as rouge-score reads a-z and 0-9 only; UserError where that is most."""
    letters = [letter for known in text.splits["test"].references for letter in known[0] if letter.isalpha()]
    unseen = sum(not letter.isascii() for letter in letters)
    said = f"rouge-score reads a-z and 0-9 only: {unseen:,} of {len(letters):,} letters of the test summaries are others"
    if 2 * unseen > len(letters):
        raise UserError(f"{id}: {said}; its scores would mean nothing")
    return replace(text, notes=(*text.notes, f"note: {said}")) if 100 * unseen > len(letters) else text


def summarisation(id: str, text: Corpus, vocabulary: int, lowercase: bool, **limits: Any) -> World:
    """The task ``id`` over ``text``: what is too long is cut, in training too (Lin et al. 2020, section 4); evaluated by ROUGE.

    limits: ``build``'s source_limit, target_limit, horizon, limit_ratio and limit_offset.
    """
    text = seen_by_rouge(id, text.mapped(str.lower) if lowercase else text)
    return build(id, text, subwords(text, vocabulary), metric="rouge", reward="rouge", **limits)
