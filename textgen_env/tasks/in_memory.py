"""A task from text in memory.

>>> import textgen_env
>>> pairs = [("ein Haus", "a house"), ("ein kleines Haus", ("a small house", "a little house"))]
>>> splits = {"train": pairs, "valid": pairs, "test": pairs}
>>> task = textgen_env.task_from_pairs(splits, vocabulary=60, metric="chrf")
>>> task.splits["test"].texts.references[1]
('a small house', 'a little house')
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from textgen_env.data.corpus import SPLITS, Corpus, Pairs
from textgen_env.data.limit import Limit
from textgen_env.data.vocabulary import Vocabulary, subword_vocabulary
from textgen_env.errors import Range, UserError, check_range
from textgen_env.metrics.scores import corpus_score
from textgen_env.tasks.task import Task
from textgen_env.tasks.translation import with_bleu

LIMIT = Limit(125, 1.2, 10)
SENTENCE_METRICS = "bleu", "chrf", "rouge", "accuracy"  # also rewards


def task_from_pairs(
    splits: Mapping[str, Iterable[tuple[str, str | Sequence[str]]]],
    vocabulary: int | Vocabulary = 8_000,
    metric: str = "bleu",
    source_limit: int = 125,
    limit: Limit = LIMIT,
    id: str = "Pairs",
) -> Task:
    """Build a task from pairs of source and reference.

    Args:
        splits: the pairs of "train", "valid" and "test"; several references are a tuple, and the
            first one is learned.
        vocabulary: size of a joint subword vocabulary to train, or a vocabulary.
        metric: bleu, chrf, rouge, accuracy or another of ``textgen_env.metrics.scores``; bleu
            chooses the tokenizer by the script of the references.
        source_limit: maximum source length in tokens, EOS included.
        limit: maximum output length; by default 1.2·S + 10 tokens for a source of S, at most 125.
        id: name of the task in messages.

    Raises:
        UserError: a split is missing or empty, a pair is malformed, or the metric does not fit.
    """
    if set(splits) != {*SPLITS}:
        raise UserError(f"splits: expected {', '.join(SPLITS)}, got {', '.join(splits) or 'none'}")
    read = {name: _read(name, splits[name]) for name in SPLITS}
    for name, pairs in read.items():
        if not len(pairs):
            raise UserError(f"split {name!r} has no pairs; add at least one")
    bleu = metric if metric.startswith("bleu") else ""
    corpus = Corpus(id, "local", "text in memory", read, bleu=bleu)
    if metric == "bleu":
        corpus = with_bleu(corpus, "auto", "", hint="pass metric='chrf'")
    metric = corpus.bleu or metric
    references = [texts[0] for texts in read["valid"].references]
    corpus_score(metric, references[:1], [references[:1]], resamples=0)  # refuses unknown metrics
    if not isinstance(vocabulary, Vocabulary):
        check_range("vocabulary", vocabulary, Range(1, 10**6))
        vocabulary = subword_vocabulary(corpus, vocabulary)
    kind = metric.partition(":")[0]
    reward = kind if kind in SENTENCE_METRICS else "accuracy"
    return Task(id, corpus, vocabulary, source_limit, limit, metric, reward)


def _read(split: str, pairs: Iterable[Any]) -> Pairs:
    """Check the pairs of a split, and normalize their white space."""
    sources, references = [], []
    for row, pair in enumerate(pairs):
        try:
            source, texts = pair
            texts = (texts,) if isinstance(texts, str) else tuple(texts)
            sources.append(" ".join(source.split()))
            references.append(tuple(" ".join(text.split()) for text in texts))
        except (TypeError, ValueError, AttributeError):
            references.append(())
        if not references[-1]:
            raise UserError(
                f"{split} pair {row}: expected (source, reference) or (source, (reference, …)), "
                f"got {str(pair)[:60]!r}"
            )
    return Pairs(sources, references)
