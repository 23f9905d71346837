"""Shared code of the summarization tasks."""

from __future__ import annotations

from textgen_env.data.bundled import read_bundled
from textgen_env.data.columns import DOCUMENT, SUMMARY, Columns
from textgen_env.data.corpus import Corpus
from textgen_env.data.limit import Limit
from textgen_env.data.sources import CorpusSource
from textgen_env.data.vocabulary import subword_vocabulary
from textgen_env.tasks.task import Task


def load_summary_corpus(origin: CorpusSource, genre: str) -> Corpus:
    """Load documents and summaries; ``genre`` of the bundled corpus: "news" or "dialogues"."""
    return origin.read(lambda pairs: read_bundled(genre, pairs))


def summary_columns(source: str | None, target: str | None) -> Columns:
    """The columns of documents and summaries; the usual names if None."""
    return Columns((source,) if source else DOCUMENT, (target,) if target else SUMMARY)


def summarization_task(
    id: str,
    corpus: Corpus,
    vocabulary_size: int,
    source_limit: int,
    target_limit: int,
    limit: Limit,
) -> Task:
    """Build a task that is evaluated with ROUGE and truncates long text, in training too."""
    vocabulary = subword_vocabulary(corpus, vocabulary_size)
    return Task(
        id, corpus, vocabulary, source_limit, limit, "rouge", "rouge", target_limit=target_limit
    )
