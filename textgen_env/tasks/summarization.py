"""What summarisation tasks share: where documents and summaries come from, and the Task they become."""

from __future__ import annotations

from typing import Any

from textgen_env.data.bundled import read_bundled
from textgen_env.data.corpus import Corpus
from textgen_env.data.hub import HubSet
from textgen_env.data.jsonl import read_summaries
from textgen_env.data.sources import find_corpus
from textgen_env.data.vocabulary import subwords
from textgen_env.tasks.task import Task, build


def find_summaries(kind: str, data_dir: str | None, genre: str, hub: HubSet, bundled_pairs: int) -> Corpus:
    """Find documents to summarize; see ``find_corpus`` for ``kind``.

    Args:
        genre: The bundled corpus, "news" or "dialogues".
        bundled_pairs: Training pairs of it.
    """
    return find_corpus(kind, data_dir, read_summaries, lambda: read_bundled(genre, bundled_pairs), hub)


def summarisation(id: str, text: Corpus, vocabulary: int, lowercase: bool, **limits: Any) -> Task:
    """The task ``id`` over ``text``: what is too long is cut, in training too (Lin et al. 2020, section 4); evaluated by ROUGE.

    limits: ``build``'s source_limit, target_limit, horizon, limit_ratio and limit_offset.
    """
    text = text.mapped(str.lower, lowercase=True) if lowercase else text
    return build(id, text, subwords(text, vocabulary), metric="rouge", reward="rouge", **limits)
