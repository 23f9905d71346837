"""Shared code of the translation tasks."""

from __future__ import annotations

from dataclasses import replace

from textgen_env.data.bundled import read_bundled
from textgen_env.data.columns import Columns
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.hub import HubDataset
from textgen_env.data.sources import HUB, read_corpus
from textgen_env.errors import UserError
from textgen_env.metrics.bleu_tokenizer import bleu_metric, check_scorable


def load_parallel_corpus(
    kind: str,
    data: str | None,
    columns: Columns,
    bundled_pairs: int,
    hub: HubDataset | None = None,
    tedx: bool | None = None,
) -> Corpus:
    """Load a parallel corpus. The bundled corpus is German and English, in either direction.

    Args:
        kind: as in ``read_corpus``, like the other arguments
        data: the user's data
        columns: one name for each side
        bundled_pairs: number of training pairs of the bundled corpus
        hub: the hub's dataset
        tedx: as in ``read_local``
    """
    (source,), (target,) = columns.source, columns.target
    if tedx and (data or HUB).startswith(HUB):
        raise UserError(
            "env.tedx=true: only a folder with released XML has TEDX; set env.data=FOLDER"
        )

    def bundled() -> Corpus:
        if {source, target} != {"de", "en"}:
            raise UserError(
                f"the bundled corpus is German–English (de, en), not {source}–{target}; "
                "set env.data=FILE_OR_FOLDER"
            )
        corpus = read_bundled("translation", bundled_pairs)
        return corpus if source == "de" else corpus.with_pairs(_reversed)

    return read_corpus(kind, data, columns, bundled, hub, tedx)


def _reversed(pairs: Pairs) -> Pairs:
    """Swap source and target of pairs with one reference."""
    return Pairs([text for (text,) in pairs.references], [(text,) for text in pairs.sources])


def with_bleu(
    corpus: Corpus, tokenizer: str, target: str, hint: str = "use env.bleu_tokenizer=char"
) -> Corpus:
    """Choose the BLEU tokenizer of a corpus; see ``bleu_metric``.

    Args:
        corpus: the corpus
        tokenizer: the value of ``env.bleu_tokenizer``
        target: the target language
        hint: what to do if none fits, for the error message

    Raises:
        UserError: no tokenizer fits the language, its package is not installed, or a reference
            scored against itself would get 0.
    """
    pairs = corpus.splits.get("valid") or next(iter(corpus.splits.values()))
    references = [texts[0] for texts in pairs.references]
    metric = bleu_metric(tokenizer, target, references, hint)
    check_scorable(metric, references, hint)
    return replace(corpus, bleu=metric)
