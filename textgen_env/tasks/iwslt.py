"""IWSLT-v0: translation of TED talks, the paper's first task (Lin et al. 2020, section 4; IWSLT14 German–English)."""

from __future__ import annotations

from textgen_env.data.hub import PARQUET, HubDataset
from textgen_env.data.limit import Limit
from textgen_env.data.sources import CorpusSource
from textgen_env.tasks.task import Task, once
from textgen_env.tasks.translation import find_parallel, translation, with_bleu

ID = "IWSLT-v0"


@once
def load(
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
    """Translation of TED talks: a local folder, IWSLT 2017 from the hub, or the bundled corpus in their stead.

    Args:
        data_dir: folder with {train,valid,test}.{source,target}, plain or .gz, or a release's XML and train.tags files
        corpus: auto (data_dir, else a prepared cache, else the hub, else bundled), local, hub or bundled
        source: language to translate from
        target: language to translate into
        horizon: longest translation in tokens, EOS included
        limit_ratio: a of the limit a·S + b on the tokens generated for a source of S tokens (and never more than the horizon)
        limit_offset: b of that limit; as large as the horizon, there is no other limit
        source_limit: longest source in tokens, EOS included
        vocabulary: size of the joint subword vocabulary
        unescape: undo the Moses tokenizer's escapes (&apos; and the like), so that BLEU sees text
        lowercase: lower-case both sides, as the paper does
        bleu_tokenizer: of BLEU: auto (by the target), 13a, intl, zh, ja-mecab, ko-mecab, char, none
        tedx: of released XML, TEDX.dev2012 is tested on too (IWSLT14 de-en: 6,750 sentences instead of 5,585)
        hub: data set on the hub, or a folder in the same layout
        hub_config: its configuration (empty: iwslt2017-SOURCE-TARGET)
        hub_revision: its revision; the parquet export needs no script to be trusted
        bundled_pairs: training pairs of the bundled corpus, its first ones
    """
    limit = Limit(horizon, limit_ratio, limit_offset)
    data = HubDataset(
        "IWSLT", hub, source, target, hub_config or f"iwslt2017-{source}-{target}", hub_revision
    )
    text = find_parallel(
        CorpusSource(corpus, data_dir, bundled_pairs, data), source, target, unescape, tedx
    )
    text = text.lowercased() if lowercase else text
    return translation(ID, with_bleu(text, bleu_tokenizer, target), vocabulary, source_limit, limit)
