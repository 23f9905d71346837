"""ParallelText-v0: translate between the two sides of any folder of parallel text."""

from __future__ import annotations

from textgen_env.data.limit import Limit
from textgen_env.data.sources import CorpusSource
from textgen_env.tasks.task import Task, once
from textgen_env.tasks.translation import find_parallel, translation, with_bleu

ID = "ParallelText-v0"


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
    unescape: bool = False,
    lowercase: bool = False,
    bleu_tokenizer: str = "auto",
    bundled_pairs: int = 30_000,
) -> Task:
    """Translation of your own text; without a folder, of the bundled corpus.

    Args:
        data_dir: folder with {train,valid,test}.{source,target}, plain or .gz
        corpus: auto (data_dir if given, else bundled), local or bundled
        source: suffix of the files to translate from
        target: suffix of the files to translate into
        horizon: longest translation in tokens, EOS included
        limit_ratio: a of the limit a·S + b on the tokens generated for a source of S tokens (and never more than the horizon)
        limit_offset: b of that limit; as large as the horizon, there is no other limit
        source_limit: longest source in tokens, EOS included
        vocabulary: size of the joint subword vocabulary
        unescape: undo the Moses tokenizer's escapes (&apos; and the like)
        lowercase: lower-case both sides
        bleu_tokenizer: of BLEU: auto (by the target), 13a, intl, zh, ja-mecab, ko-mecab, char, none
        bundled_pairs: training pairs of the bundled corpus, its first ones
    """
    limit = Limit(horizon, limit_ratio, limit_offset)
    text = find_parallel(CorpusSource(corpus, data_dir, bundled_pairs), source, target, unescape)
    text = text.lowercased() if lowercase else text
    return translation(ID, with_bleu(text, bleu_tokenizer, target), vocabulary, source_limit, limit)
