"""What translation tasks share: where parallel text comes from, and the Task it becomes."""

from __future__ import annotations

from dataclasses import replace

from textgen_env.data.bundled import read_bundled
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.limit import Limit
from textgen_env.data.readers import read_folder
from textgen_env.data.sources import CorpusSource
from textgen_env.data.vocabulary import subword_vocabulary
from textgen_env.errors import UserError
from textgen_env.metrics.bleu_tokenizer import bleu_metric, check_scorable
from textgen_env.tasks.task import Task


def find_parallel(
    origin: CorpusSource, source: str, target: str, unescape: bool = False, tedx: bool | None = None
) -> Corpus:
    """Text to translate from ``source`` to ``target``; the bundled corpus is German and English, in either direction.

    Args:
        origin: where to look
        source: language to translate from
        target: language to translate into
        unescape: undo Moses escapes in a local folder
        tedx: as in ``read_folder``
    """
    if tedx and not origin.data_dir:
        raise UserError(
            "env.tedx=true: only a released XML folder has these sentences; give env.data_dir=FOLDER"
        )

    def bundled(pairs: int) -> Corpus:
        if {source, target} != {"de", "en"}:
            raise UserError(
                f"the bundled corpus is German–English (de, en), not {source}–{target}; use env.data_dir=FOLDER"
            )
        corpus = read_bundled("translation", pairs)
        return corpus if source == "de" else _swapped(corpus)

    return origin.find(lambda folder: read_folder(folder, source, target, unescape, tedx), bundled)


def _swapped(corpus: Corpus) -> Corpus:
    """The other direction of a corpus with one reference a source."""
    splits = {
        split: Pairs([text for (text,) in pairs.references], [(text,) for text in pairs.sources])
        for split, pairs in corpus.splits.items()
    }
    return replace(corpus, splits=splits)


def with_bleu(text: Corpus, tokenizer: str, target: str) -> Corpus:
    """``text`` with a tokenizer of BLEU for its targets; see ``bleu_metric``.

    Args:
        text: the corpus
        tokenizer: the key ``env.bleu_tokenizer``
        target: the language of the targets

    Raises:
        UserError: none fits, its package is not installed, or texts that agree would score 0.
    """
    references = [known[0] for known in text.splits["valid"].references]
    otherwise = "use env.bleu_tokenizer=char"
    name = bleu_metric(tokenizer, target, references, otherwise)
    check_scorable(name, references, otherwise)
    return replace(text, bleu=name)


def translation(id: str, text: Corpus, vocabulary: int, source_limit: int, limit: Limit) -> Task:
    """The task ``id`` over ``text``: a joint vocabulary, pairs beyond a limit skipped in training, evaluated by BLEU."""
    return Task(
        id,
        text,
        subword_vocabulary(text, vocabulary),
        source_limit,
        limit,
        metric=text.bleu,
        reward="bleu",
    )
