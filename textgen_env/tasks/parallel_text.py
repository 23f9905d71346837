"""ParallelText-v0: translation with your own parallel text."""

from __future__ import annotations

from textgen_env.data.limit import Limit
from textgen_env.data.sources import CorpusSource
from textgen_env.tasks.task import Task, cached_load
from textgen_env.tasks.translation import load_parallel_corpus, translation_task, with_bleu

ID = "ParallelText-v0"


@cached_load
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
    """Translation of your own parallel text, or of the bundled corpus if there is no folder.

    Args:
        data_dir: folder with {train,valid,test}.{source,target}, plain or .gz
        corpus: auto (data_dir if given, else bundled), local or bundled
        source: suffix of the source files
        target: suffix of the target files
        horizon: maximum translation length in tokens, EOS included
        limit_ratio: a in the output limit a·S + b for a source of S tokens
        limit_offset: b in that limit; if it is the horizon, there is no other limit
        source_limit: maximum source length in tokens, EOS included
        vocabulary: size of the joint subword vocabulary
        unescape: undo Moses escapes (&apos; etc.)
        lowercase: lowercase both sides
        bleu_tokenizer: auto (by target language), 13a, intl, zh, ja-mecab, ko-mecab, char or none
        bundled_pairs: number of training pairs of the bundled corpus
    """
    limit = Limit(horizon, limit_ratio, limit_offset)
    origin = CorpusSource(corpus, data_dir, bundled_pairs)
    text = load_parallel_corpus(origin, source, target, unescape)
    text = text.lowercased() if lowercase else text
    return translation_task(
        ID, with_bleu(text, bleu_tokenizer, target), vocabulary, source_limit, limit
    )
