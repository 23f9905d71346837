"""IWSLT-v0: translate TED talks, IWSLT14 German–English (Lin et al. 2020, section 4)."""

from __future__ import annotations

from textgen_env.data.columns import Columns
from textgen_env.data.hub import PARQUET, HubDataset
from textgen_env.data.limit import Limit
from textgen_env.data.sources import data_place
from textgen_env.data.vocabulary import subword_vocabulary
from textgen_env.tasks.task import Task, cached_load
from textgen_env.tasks.translation import load_parallel_corpus, with_bleu

ID = "IWSLT-v0"


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
    vocabulary: int = 8_000,
    unescape: bool = True,
    lowercase: bool = True,
    bleu_tokenizer: str = "auto",
    tedx: bool = False,
    hub: str = "IWSLT/iwslt2017",
    hub_config: str = "",
    hub_revision: str = PARQUET,
    bundled_pairs: int = 30_000,
) -> Task:
    """Translation of TED talks, from a folder, IWSLT 2017 on the hub or the bundled corpus.

    Args:
        data: folder with {train,valid,test}.{source,target} or the XML and train.tags files of a
            release; table (.tsv, .csv, .jsonl, .parquet), a folder with one per split, a
            save_to_disk folder of datasets, or hub:OWNER/NAME; text files also in .gz
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
        unescape: undo Moses escapes (&apos; etc.)
        lowercase: lowercase both sides, as in the paper
        bleu_tokenizer: auto (by target language), 13a, intl, zh, ja-mecab, ko-mecab, char or none
        tedx: with released XML, add TEDX.dev2012 to the test set (IWSLT14 de-en: 6,750 sentences
            instead of 5,585)
        hub: dataset on the hub, or a folder in the same layout
        hub_config: configuration of the dataset; empty: iwslt2017-SOURCE-TARGET
        hub_revision: revision of the dataset; the parquet export runs no remote code
        bundled_pairs: number of training pairs of the bundled corpus
    """
    limit = Limit(horizon, limit_ratio, limit_offset)
    columns = Columns((source,), (target,), unescape)
    hub_config = hub_config or f"iwslt2017-{source}-{target}"
    dataset = HubDataset("IWSLT", hub, columns, hub_config, hub_revision)
    place = data_place(data, data_dir)
    text = load_parallel_corpus(corpus, place, columns, bundled_pairs, dataset, tedx)
    text = text.lowercased() if lowercase else text
    text = with_bleu(text, bleu_tokenizer, target)
    tokens = subword_vocabulary(text, vocabulary)
    return Task(ID, text, tokens, source_limit, limit, text.bleu, "bleu")
