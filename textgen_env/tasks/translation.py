"""Shared code of the translation tasks."""

from __future__ import annotations

from dataclasses import replace

from textgen_env.data.bundled import read_bundled
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.limit import Limit
from textgen_env.data.sources import HUB, CorpusSource
from textgen_env.data.vocabulary import subword_vocabulary
from textgen_env.errors import UserError
from textgen_env.metrics.bleu_tokenizer import bleu_metric, check_scorable
from textgen_env.tasks.task import Task


def load_parallel_corpus(origin: CorpusSource, tedx: bool | None = None) -> Corpus:
    """Load a parallel corpus. The bundled corpus is German and English, in either direction.

    Args:
        origin: the user's data, the hub's dataset or the bundled corpus
        tedx: as in ``read_local``
    """
    (source,), (target,) = origin.columns.source, origin.columns.target
    if tedx and (origin.data or HUB).startswith(HUB):
        raise UserError(
            "env.tedx=true: only a folder with released XML has TEDX; set env.data=FOLDER"
        )

    def bundled(pairs: int) -> Corpus:
        if {source, target} != {"de", "en"}:
            raise UserError(
                f"the bundled corpus is German–English (de, en), not {source}–{target}; "
                "set env.data=FILE_OR_FOLDER"
            )
        corpus = read_bundled("translation", pairs)
        return corpus if source == "de" else _reversed(corpus)

    return origin.read(bundled, tedx)


def _reversed(corpus: Corpus) -> Corpus:
    """Swap source and target of a corpus with one reference per source."""
    splits = {
        split: Pairs([text for (text,) in pairs.references], [(text,) for text in pairs.sources])
        for split, pairs in corpus.splits.items()
    }
    return replace(corpus, splits=splits)


def with_bleu(corpus: Corpus, tokenizer: str, target: str) -> Corpus:
    """Choose the BLEU tokenizer of a corpus; see ``bleu_metric``.

    Args:
        corpus: the corpus
        tokenizer: the value of ``env.bleu_tokenizer``
        target: the target language

    Raises:
        UserError: no tokenizer fits the language, its package is not installed, or a reference
            scored against itself would get 0.
    """
    pairs = corpus.splits.get("valid") or next(iter(corpus.splits.values()))
    references = [texts[0] for texts in pairs.references]
    hint = "use env.bleu_tokenizer=char"
    metric = bleu_metric(tokenizer, target, references, hint)
    check_scorable(metric, references, hint)
    return replace(corpus, bleu=metric)


def translation_task(
    id: str, corpus: Corpus, vocabulary_size: int, source_limit: int, limit: Limit
) -> Task:
    """Build a task with a joint vocabulary that is evaluated with BLEU."""
    vocabulary = subword_vocabulary(corpus, vocabulary_size)
    return Task(id, corpus, vocabulary, source_limit, limit, corpus.bleu, "bleu")
