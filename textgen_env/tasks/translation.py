"""What translation tasks share: where parallel text comes from, and the Task it becomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from textgen_env.data.bundled import read_bundled
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.hub import HubSet
from textgen_env.data.readers import read_folder
from textgen_env.data.sources import find_corpus
from textgen_env.data.vocabulary import subwords
from textgen_env.errors import UserError
from textgen_env.metrics.bleu_tokenizer import bleu_metric, check_agreement
from textgen_env.tasks.task import Task, build


def find_parallel(
    kind: str,
    data_dir: str | None,
    source: str,
    target: str,
    hub: HubSet | None,
    unescape: bool,
    bundled_pairs: int,
    tedx: bool | None = None,
) -> Corpus:
    """Find text to translate from ``source`` to ``target``; see ``find_corpus`` for ``kind``.

    Args:
        unescape: Undo Moses escapes in a local folder.
        bundled_pairs: Training pairs of the bundled corpus (German and English, in either direction).
        tedx: As in ``read_folder``.
    """
    if tedx and not data_dir:
        raise UserError("env.tedx=true: only a released XML folder has these sentences; give env.data_dir=FOLDER")

    def read_own() -> Corpus:
        if {source, target} != {"de", "en"}:
            raise UserError(f"the bundled corpus is German–English (de, en), not {source}–{target}; use env.data_dir=FOLDER")
        corpus = read_bundled("translation", bundled_pairs)
        return corpus if source == "de" else _swapped(corpus)

    return find_corpus(kind, data_dir, lambda folder: read_folder(folder, source, target, unescape, tedx), read_own, hub)


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
        tokenizer: the key ``env.bleu_tokenizer``
        target: the language of the targets

    Raises:
        UserError: none fits, its package is not installed, or texts that agree would score 0.
    """
    references = [known[0] for known in text.splits["valid"].references]
    otherwise = "use env.bleu_tokenizer=char"
    name = bleu_metric(tokenizer, target, references, otherwise)
    check_agreement(name, references, otherwise)
    return replace(text, bleu=name)


def translation(id: str, text: Corpus, vocabulary: int, lowercase: bool, **limits: Any) -> Task:
    """The task ``id`` over ``text``: a joint vocabulary, pairs beyond a limit skipped in training, evaluated by BLEU.

    limits: ``build``'s source_limit, horizon, limit_ratio and limit_offset.
    """
    text = text.mapped(str.lower, lowercase=True) if lowercase else text
    return build(id, text, subwords(text, vocabulary), metric=text.bleu or "bleu", reward="bleu", **limits)
