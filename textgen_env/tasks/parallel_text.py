"""ParallelText-v0: your own text, for translation or any other task from text to text."""

from __future__ import annotations

from typing import Literal

from textgen_env.data.columns import Columns
from textgen_env.data.limit import Limit
from textgen_env.data.sources import data_place
from textgen_env.data.vocabulary import subword_vocabulary
from textgen_env.tasks.task import Task, cached_load
from textgen_env.tasks.translation import load_parallel_corpus, with_bleu

ID = "ParallelText-v0"


@cached_load
def load(
    data: str | None = None,
    data_dir: str | None = None,
    corpus: str = "auto",
    source: str = "de",
    target: str = "en",
    horizon: int = 125,
    limit_ratio: float = 1.2,
    limit_offset: int = 10,
    source_limit: int = 125,
    target_limit: int | None = None,
    vocabulary: int = 8_000,
    unescape: bool = False,
    lowercase: bool = False,
    metric: Literal["bleu", "chrf", "rouge", "accuracy"] = "bleu",
    bleu_tokenizer: str = "auto",
    bundled_pairs: int = 30_000,
) -> Task:
    """Your own pairs of texts, or the bundled translations if no data is given.

    For summaries, set for example ``metric=rouge source_limit=400 target_limit=100``.

    Args:
        data: folder with {train,valid,test}.{source,target}; table (.tsv, .csv, .jsonl, .parquet),
            a folder with one per split, a save_to_disk folder of datasets, or hub:OWNER/NAME; text
            files also in .gz
        data_dir: another name of data
        corpus: auto (data if given, else bundled; no network), real (data if given, else the hub),
            local, hub or bundled
        source: source language: suffix of its files, or column of a table; the number of the column
            in a .tsv or .csv file without a header
        target: target language, likewise; a+b: columns of several references
        horizon: maximum translation length in tokens, EOS included
        limit_ratio: a in the output limit a·S + b for a source of S tokens
        limit_offset: b in that limit; if it is the horizon, there is no other limit
        source_limit: maximum source length in tokens, EOS included
        target_limit: longer training targets are truncated to this number of tokens, EOS included,
            and longer sources to source_limit; null: training pairs beyond a limit are skipped
        vocabulary: size of the joint subword vocabulary
        unescape: undo Moses escapes (&apos; etc.)
        lowercase: lowercase both sides
        metric: what test outputs are scored with, and the default reward
        bleu_tokenizer: auto (by target language), 13a, intl, zh, ja-mecab, ko-mecab, char or none
        bundled_pairs: number of training pairs of the bundled corpus
    """
    limit = Limit(horizon, limit_ratio, limit_offset)
    columns = Columns((source,), (target,), unescape)
    place = data_place(data, data_dir)
    text = load_parallel_corpus(corpus, place, columns, bundled_pairs)
    text = text.lowercased() if lowercase else text
    if metric == "bleu":
        text = with_bleu(text, bleu_tokenizer, target)
    tokens, scored = subword_vocabulary(text, vocabulary), text.bleu or metric
    return Task(ID, text, tokens, source_limit, limit, scored, metric, target_limit=target_limit)
