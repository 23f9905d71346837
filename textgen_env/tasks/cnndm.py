"""CNNDM-v0: summarize news, non-anonymized CNN/DailyMail (Lin et al. 2020, section 4)."""

from __future__ import annotations

from functools import partial

from textgen_env.data.bundled import read_bundled
from textgen_env.data.columns import summary_columns
from textgen_env.data.hub import HubDataset
from textgen_env.data.limit import Limit
from textgen_env.data.sources import data_place, read_corpus
from textgen_env.data.vocabulary import subword_vocabulary
from textgen_env.tasks.task import Task, cached_load

ID = "CNNDM-v0"


@cached_load
def load(
    data: str | None = None,
    data_dir: str | None = None,
    corpus: str = "auto",
    source: str | None = None,
    target: str | None = None,
    horizon: int = 128,
    limit_ratio: float | None = None,
    limit_offset: int | None = None,
    source_limit: int = 400,
    target_limit: int = 100,
    vocabulary: int = 30_000,
    lowercase: bool = True,
    hub: str = "abisee/cnn_dailymail",
    bundled_pairs: int = 10_000,
) -> Task:
    """Summaries of news, from a folder, CNN/DailyMail on the hub or the bundled corpus.

    As in the paper, no document is skipped: documents are truncated to ``source_limit`` tokens and
    training summaries to ``target_limit``. Scores use the whole references.

    Args:
        data: table (.tsv, .csv, .jsonl, .parquet), a folder with one per split, a save_to_disk
            folder of datasets, or hub:OWNER/NAME; text files also in .gz
        data_dir: another name of data
        corpus: auto (data if given, else bundled; no network), real (data if given, else the hub),
            local, hub or bundled
        source: column of the documents; null: document, dialogue, article, text or source
        target: column of the summaries, each a text or a list of references; null: summary,
            highlights or target, also numbered (summary1, summary2, …); a+b: several columns
        horizon: maximum summary length in tokens, EOS included
        limit_ratio: a in an output limit a·S + b for a source of S tokens; null: only the horizon
        limit_offset: b in that limit
        source_limit: maximum document length in tokens, EOS included
        target_limit: maximum length of a training summary in tokens, EOS included, at most the
            horizon
        vocabulary: size of the subword vocabulary of documents and summaries
        lowercase: lowercase both sides; ROUGE ignores case
        hub: dataset on the hub, or a folder in the same layout
        bundled_pairs: number of training pairs of the bundled corpus
    """
    limit = Limit(horizon, limit_ratio, limit_offset)
    columns = summary_columns(source, target)
    dataset = HubDataset("CNN/DailyMail", hub, columns, "3.0.0")
    bundled = partial(read_bundled, "news", bundled_pairs)
    text = read_corpus(corpus, data_place(data, data_dir), columns, bundled, dataset)
    text = text.lowercased() if lowercase else text
    tokens = subword_vocabulary(text, vocabulary)
    return Task(ID, text, tokens, source_limit, limit, "rouge", "rouge", target_limit=target_limit)
