"""Multi30k-v0: translation of image descriptions (Elliott et al. 2016), a real task small enough for two cores."""

from __future__ import annotations

from textgen_env.data.hub import HubDataset
from textgen_env.data.limit import Limit
from textgen_env.data.sources import CorpusSource
from textgen_env.tasks.task import Task, once
from textgen_env.tasks.translation import find_parallel, translation, with_bleu

ID = "Multi30k-v0"


@once
def load(
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
    """Translation of image descriptions: a local folder, Multi30k from the hub, or the bundled corpus in their stead.

    Args:
        data_dir: folder with {train,valid,test}.{source,target}, plain or .gz
        corpus: auto (data_dir, else a prepared cache, else the hub, else bundled), local, hub or bundled
        source: language to translate from
        target: language to translate into
        horizon: longest translation in tokens, EOS included
        limit_ratio: a of the limit a·S + b on the tokens generated for a source of S tokens (and never more than the horizon)
        limit_offset: b of that limit; as large as the horizon, there is no other limit
        source_limit: longest source in tokens, EOS included
        vocabulary: size of the joint subword vocabulary
        lowercase: lower-case both sides
        bleu_tokenizer: of BLEU: auto (by the target), 13a, intl, zh, ja-mecab, ko-mecab, char, none
        hub: data set on the hub, or a folder in the same layout
        bundled_pairs: training pairs of the bundled corpus, its first ones
    """
    limit = Limit(horizon, limit_ratio, limit_offset)
    data = HubDataset("Multi30k", hub, source, target)
    text = find_parallel(CorpusSource(corpus, data_dir, bundled_pairs, data), source, target)
    text = text.lowercased() if lowercase else text
    return translation(ID, with_bleu(text, bleu_tokenizer, target), vocabulary, source_limit, limit)
