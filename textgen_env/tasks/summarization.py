"""What summarization tasks share: where documents and summaries come from, and the Task they become."""

from __future__ import annotations

from textgen_env.data.bundled import read_bundled
from textgen_env.data.corpus import Corpus
from textgen_env.data.jsonl import read_summaries
from textgen_env.data.limit import Limit
from textgen_env.data.sources import CorpusSource
from textgen_env.data.vocabulary import subword_vocabulary
from textgen_env.tasks.task import Task


def find_summaries(origin: CorpusSource, genre: str) -> Corpus:
    """Documents to summarize; ``genre`` is that of the bundled corpus, "news" or "dialogues"."""
    return origin.find(read_summaries, lambda pairs: read_bundled(genre, pairs))


def summarization(
    id: str, text: Corpus, vocabulary: int, source_limit: int, target_limit: int, limit: Limit
) -> Task:
    """The task ``id`` over ``text``, evaluated by ROUGE; long text is cut, in training too (Lin et al. 2020, section 4)."""
    tokens = subword_vocabulary(text, vocabulary)
    return Task(
        id,
        text,
        tokens,
        source_limit,
        limit,
        metric="rouge",
        reward="rouge",
        target_limit=target_limit,
    )
