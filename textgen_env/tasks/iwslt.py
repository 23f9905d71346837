"""IWSLT-v0: translation of TED talks, the paper's first task (Lin et al. 2020, section 4; IWSLT14 German–English)."""

from __future__ import annotations

from math import sqrt
from typing import Any

from textgen_env.data.hub import PARQUET, HubSet
from textgen_env.tasks.task import Task, once
from textgen_env.tasks.translation import find_parallel, translation, with_bleu

ID = "IWSLT-v0"
SEQINTER = {"train.lr": 0.01 / sqrt(2_000), "train.warmup": 2_000}  # fine-tuning, in Lin et al. 2020
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "env.vocabulary": 4_000,
        "teacher.layers": 2,
        "teacher.ffn": 512,
        "teacher.label_smoothing": 0.0,  # so few updates never come near overfitting
        "teacher.train.steps": 900,
        "teacher.train.batch_tokens": 1024,
        "teacher.train.lr": 1.5e-3,
        "teacher.train.validations": 4,
        "teacher.train.validation_rows": 150,
        "student.dropout": 0.0,
        "student=transformer": {"student.layers": 1, "student.width": 64, "student.ffn": 256},
        "student=gru|lstm|sru": {
            "student.encoder_layers": 1,
            "student.decoder_layers": 1,
            "student.encoder_width": 64,
            "student.width": 128,
            "student.embedding": 64,
        },
        # The prefixes of a student that is barely trained teach little: half of the rows stay the
        # training pairs to the end.
        "algorithm.beta=exponential": {"algorithm.rate": 1 / 2},
        "algorithm=imitkd|imitkd_full|imitkd_star|imitkd_star_full|dagger": {"algorithm.group": 4},
        "train.steps": 700,
        "train.batch_tokens": 1024,
        "train.lr": 5e-3,
        "train.warmup": 100,
        "train.validations": 3,
        "train.validation_rows": 150,
        "algorithm=seqinter": {"train.lr": 8e-4, "train.warmup": 40},  # in the paper's proportion
    },
    "paper": {  # Lin et al. 2020; a peak learning rate is their setting / √warm-up
        "env.vocabulary": 10_000,
        "teacher.layers": 8,
        "teacher.width": 256,
        "teacher.heads": 4,
        "teacher.ffn": 1024,
        "teacher.label_smoothing": 0.0,
        "teacher.train.steps": 50_000,
        "teacher.train.batch_tokens": 3_700,  # 128 of IWSLT14's sentences
        "teacher.train.lr": 0.1 / sqrt(10_000),
        "teacher.train.schedule": "inverse_sqrt",
        "teacher.train.warmup": 10_000,
        "teacher.train.clip": 5.0,
        "teacher.train.validations": 50,
        "teacher.train.validation_rows": 1_000,
        "train.steps": 80_000,  # the students' sizes are the defaults
        "train.batch_tokens": 3_700,
        "train.lr": 0.1 / sqrt(5_000),
        "train.schedule": "inverse_sqrt",
        "train.warmup": 5_000,
        "train.clip": 5.0,
        "train.validations": 80,
        "train.validation_rows": 1_000,
        "algorithm.beta=exponential": {"algorithm.rate": 1 / 200},
        "algorithm=imitkd|imitkd_full|imitkd_star|imitkd_star_full|dagger": {"algorithm.group": 4},
        "algorithm=seqinter": SEQINTER,
    },
}


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
        horizon: most tokens in a translation, EOS included
        limit_ratio: a of the limit a·S + b on the tokens generated for a source of S tokens (and never more than the horizon)
        limit_offset: b of that limit; as large as the horizon, there is no other limit
        source_limit: most tokens in a source, EOS included
        vocabulary: size of the joint subword vocabulary
        unescape: undo the Moses tokeniser's escapes (&apos; and the like), so that BLEU sees text
        lowercase: lower-case both sides, as the paper does
        bleu_tokenizer: of BLEU: auto (by the target), 13a, intl, zh, ja-mecab, ko-mecab, char, none
        tedx: of released XML, TEDX.dev2012 is tested on too (IWSLT14 de-en: 6,750 sentences instead of 5,585)
        hub: data set on the hub, or a folder in the same layout
        hub_config: its configuration (empty: iwslt2017-SOURCE-TARGET)
        hub_revision: its revision; the parquet export needs no script to be trusted
        bundled_pairs: training pairs of the bundled corpus, its first ones
    """
    data = HubSet("IWSLT", hub, source, target, hub_config or f"iwslt2017-{source}-{target}", hub_revision)
    text = find_parallel(corpus, data_dir, source, target, data, unescape, bundled_pairs, tedx=tedx)
    text = with_bleu(text, bleu_tokenizer, target)
    return translation(
        *(ID, text, vocabulary, lowercase),
        source_limit=source_limit,
        horizon=horizon,
        limit_ratio=limit_ratio,
        limit_offset=limit_offset,
    )
