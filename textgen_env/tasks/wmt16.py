"""WMT16-v0: translation of news, English to German, the paper's second task (Lin et al. 2020, section 4)."""

from __future__ import annotations

import re

from textgen_env.data.hub import HubDataset
from textgen_env.data.limit import Limit
from textgen_env.data.sources import CorpusSource
from textgen_env.tasks.task import Task, once
from textgen_env.tasks.translation import find_parallel, translation, with_bleu

ID = "WMT16-v0"
_WORD_OR_MARK = re.compile(r"\w+|[^\w\s]")


@once
def load(
    data_dir: str | None = None,
    corpus: str = "auto",
    source: str = "en",
    target: str = "de",
    horizon: int = 100,
    limit_ratio: float = 1.2,
    limit_offset: int = 10,
    source_limit: int = 100,
    vocabulary: int = 32_000,
    unescape: bool = True,
    split_marks: bool = False,
    lowercase: bool = False,
    bleu_tokenizer: str = "auto",
    hub: str = "wmt/wmt16",
    bundled_pairs: int = 30_000,
) -> Task:
    """Translation of news: a local folder, WMT16 from the hub, or the bundled corpus in their stead.

    Args:
        data_dir: folder with {train,valid,test}.{source,target}, or newstest*.{source,target} and training files; plain or .gz
        corpus: auto (data_dir, else a prepared cache, else the hub, else bundled), local, hub or bundled
        source: language to translate from
        target: language to translate into
        horizon: longest translation in tokens, EOS included
        limit_ratio: a of the limit a·S + b on the tokens generated for a source of S tokens (and never more than the horizon)
        limit_offset: b of that limit; as large as the horizon, there is no other limit
        source_limit: longest source in tokens, EOS included
        vocabulary: size of the joint subword vocabulary
        unescape: undo the Moses tokenizer's escapes (&apos; and the like), so that BLEU sees text
        split_marks: set every punctuation mark apart, so that differently tokenized files can be mixed; changes BLEU
        lowercase: lower-case both sides
        bleu_tokenizer: of BLEU: auto (by the target), 13a, intl, zh, ja-mecab, ko-mecab, char, none
        hub: data set on the hub, or a folder in the same layout
        bundled_pairs: training pairs of the bundled corpus, its first ones
    """
    limit = Limit(horizon, limit_ratio, limit_offset)
    data = HubDataset("WMT16", hub, source, target, f"{source if target == 'en' else target}-en")
    text = find_parallel(
        CorpusSource(corpus, data_dir, bundled_pairs, data), source, target, unescape
    )
    text = text.mapped(separate_marks, split_marks=True) if split_marks else text
    text = text.lowercased() if lowercase else text
    return translation(ID, with_bleu(text, bleu_tokenizer, target), vocabulary, source_limit, limit)


def separate_marks(text: str) -> str:
    """The same words however a tokenizer left them: ``re-elect`` and ``re ##AT##-##AT## elect`` → ``re - elect``."""
    return " ".join(_WORD_OR_MARK.findall(text.replace("##AT##", "").replace("@-@", "-")))
