"""Multi30k-v0: translate image descriptions (Elliott et al. 2016), small enough for two cores."""

from __future__ import annotations

from textgen_env.data.columns import Columns
from textgen_env.data.hub import HubDataset
from textgen_env.data.limit import Limit
from textgen_env.data.sources import data_place
from textgen_env.data.vocabulary import subword_vocabulary
from textgen_env.tasks.task import Task, cached_load
from textgen_env.tasks.translation import load_parallel_corpus, with_bleu

ID = "Multi30k-v0"


@cached_load
def load(
    data: str | None = None,
    data_dir: str | None = None,
    corpus: str = "auto",
    source: str = "de",
    target: str = "en",
    horizon: int = 64,
    limit_ratio: float = 1.2,
    limit_offset: int = 10,
    source_limit: int = 64,
    vocabulary: int = 6_000,
    lowercase: bool = True,
    bleu_tokenizer: str = "auto",
    hub: str = "bentrevett/multi30k",
    bundled_pairs: int = 29_000,
) -> Task:
    """Translation of image descriptions, from a folder, the hub or the bundled corpus.

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
        vocabulary: size of the joint subword vocabulary
        lowercase: lowercase both sides
        bleu_tokenizer: auto (by target language), 13a, intl, zh, ja-mecab, ko-mecab, char or none
        hub: dataset on the hub, or a folder in the same layout
        bundled_pairs: number of training pairs of the bundled corpus
    """
    limit = Limit(horizon, limit_ratio, limit_offset)
    columns = Columns((source,), (target,))
    dataset = HubDataset("Multi30k", hub, columns)
    place = data_place(data, data_dir)
    text = load_parallel_corpus(corpus, place, columns, bundled_pairs, dataset)
    text = text.lowercased() if lowercase else text
    text = with_bleu(text, bleu_tokenizer, target)
    tokens = subword_vocabulary(text, vocabulary)
    return Task(ID, text, tokens, source_limit, limit, text.bleu, "bleu")
