"""WMT16-v0: translation of news, English to German, the paper's second task (Lin et al. 2020, section 4)."""

from __future__ import annotations

import re
from math import sqrt
from typing import Any

from textgen_env.data.hub import HubSet
from textgen_env.tasks import iwslt
from textgen_env.tasks.task import Task, once
from textgen_env.tasks.translation import find_parallel, translation, with_bleu

ID = "WMT16-v0"
GREEDY = {"algorithm=imitkd|imitkd_star": {"algorithm.top_k": 1}}  # the roll-in of L_opt
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {**iwslt.PRESETS["quick"], **GREEDY},
    # Lin et al. 2020: 15 epochs of 4.5 million pairs; a peak learning rate is their setting / √warm-up.
    # Their teacher was published by others, a Transformer-big: here one is trained at the students' rate.
    "paper": {
        "env.vocabulary": 32_000,
        "teacher.layers": 6,
        "teacher.width": 1024,
        "teacher.heads": 16,
        "teacher.ffn": 4096,
        "teacher.share_source_embedding": True,
        "teacher.train.steps": 132_000,
        "teacher.train.batch_tokens": 16_384,  # 512 sentences
        "teacher.train.lr": 0.05 / sqrt(4_000),
        "teacher.train.clip": 2.0,
        "teacher.train.schedule": "inverse_sqrt",
        "teacher.train.warmup": 4_000,
        "teacher.train.validations": 60,
        "student": "sru",
        "student.share_source_embedding": True,
        "student=gru|lstm|sru": {
            "student.encoder_layers": 4,
            "student.decoder_layers": 4,
            "student.encoder_width": 1024,
            "student.width": 2048,
            "student.projection": 256,
            "student.layer_norm": True,
        },
        "train.steps": 132_000,
        "train.batch_tokens": 16_384,
        "train.lr": 0.05 / sqrt(4_000),
        "train.schedule": "inverse_sqrt",
        "train.warmup": 4_000,
        "train.clip": 2.0,
        "train.validations": 60,
        "train.validation_rows": 1_000,
        "algorithm.beta=exponential": {"algorithm.rate": 1 / 2},
        "algorithm=imitkd|imitkd_full|imitkd_star|imitkd_star_full|dagger": {"algorithm.group": 4},
        **GREEDY,
        "algorithm=seqinter": iwslt.SEQINTER,  # which the paper states for IWSLT14 alone
    },
}
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
        horizon: most tokens in a translation, EOS included
        limit_ratio: a of the limit a·S + b on the tokens generated for a source of S tokens (and never more than the horizon)
        limit_offset: b of that limit; as large as the horizon, there is no other limit
        source_limit: most tokens in a source, EOS included
        vocabulary: size of the joint subword vocabulary
        unescape: undo the Moses tokeniser's escapes (&apos; and the like), so that BLEU sees text
        split_marks: set every punctuation mark apart, so that differently tokenised files can be mixed; changes BLEU
        lowercase: lower-case both sides
        bleu_tokenizer: of BLEU: auto (by the target), 13a, intl, zh, ja-mecab, ko-mecab, char, none
        hub: data set on the hub, or a folder in the same layout
        bundled_pairs: training pairs of the bundled corpus, its first ones
    """
    other = source if target == "en" else target
    text = find_parallel(
        corpus, data_dir, source, target, HubSet("WMT16", hub, source, target, f"{other}-en"), unescape, bundled_pairs
    )
    text = text.mapped(_split_marks, split_marks=True) if split_marks else text
    text = with_bleu(text, bleu_tokenizer, target)
    return translation(
        *(ID, text, vocabulary, lowercase),
        source_limit=source_limit,
        horizon=horizon,
        limit_ratio=limit_ratio,
        limit_offset=limit_offset,
    )


def _split_marks(text: str) -> str:
    """The same words however a tokeniser left them: ``re-elect`` and ``re ##AT##-##AT## elect`` → ``re - elect``."""
    return " ".join(_WORD_OR_MARK.findall(text.replace("##AT##", "").replace("@-@", "-")))
