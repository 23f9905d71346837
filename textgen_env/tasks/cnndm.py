"""CNNDM-v0: summaries of news, the paper's third task (Lin et al. 2020, section 4; CNN/DailyMail, not anonymised)."""

from __future__ import annotations

from math import sqrt
from typing import Any

from textgen_env.data.hub import HubSet
from textgen_env.tasks import iwslt
from textgen_env.tasks.summarization import find_summaries, summarisation
from textgen_env.tasks.task import Task, once

ID = "CNNDM-v0"
GREEDY = {"algorithm=imitkd|imitkd_star": {"algorithm.top_k": 1}}  # the roll-in of L_opt
SMOOTHED = (  # the algorithms that learn single tokens and can smooth them
    "algorithm=bc|mle|seqkd|seqinter|imitkd|imitkd_star|dagger|dagger_aggregate|scheduled_sampling"
)
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "env.vocabulary": 4_000,
        "teacher.layers": 2,
        "teacher.ffn": 512,
        "teacher.train.steps": 800,
        "teacher.train.batch_tokens": 1024,
        "teacher.train.lr": 1.5e-3,
        "teacher.train.validations": 4,
        "teacher.train.validation_rows": 100,
        "student.dropout": 0.0,
        "student=transformer": {"student.layers": 1, "student.width": 128, "student.ffn": 256},
        "student=gru|lstm|sru": {
            "student.encoder_layers": 1,
            "student.decoder_layers": 1,
            "student.encoder_width": 64,
            "student.width": 128,
            "student.embedding": 128,
        },
        "algorithm.beta=exponential": {"algorithm.rate": 1 / 2},
        "algorithm=imitkd|imitkd_full|imitkd_star|imitkd_star_full|dagger": {"algorithm.group": 4},
        **GREEDY,
        "train.steps": 400,
        "train.batch_tokens": 1024,
        "train.lr": 3e-3,
        "train.warmup": 60,
        "train.validations": 3,
        "train.validation_rows": 100,
        "algorithm=seqinter": {"train.lr": 5e-4, "train.warmup": 25},  # in the paper's proportion
        "evaluate.speed_rows": 128,
    },
    "paper": {  # Lin et al. 2020; a peak learning rate is their setting / √warm-up
        "env.vocabulary": 30_000,
        "teacher.layers": 6,
        "teacher.width": 512,
        "teacher.heads": 8,
        "teacher.ffn": 2048,
        "teacher.share_source_embedding": True,
        "teacher.label_smoothing": 0.1,
        "teacher.train.steps": 200_000,
        "teacher.train.batch_tokens": 4_096,  # 32 documents, whose targets are padded to 128
        "teacher.train.lr": 0.1 / sqrt(2_000),
        "teacher.train.schedule": "inverse_sqrt",
        "teacher.train.warmup": 2_000,
        "teacher.train.clip": 5.0,
        "teacher.train.validations": 50,
        "student": "sru",
        "student.share_source_embedding": True,
        "student=gru|lstm|sru": {"student.encoder_width": 512, "student.width": 1024, "student.projection": 256},
        "train.steps": 200_000,
        "train.batch_tokens": 4_096,
        "train.lr": 0.1 / sqrt(2_000),
        "train.schedule": "inverse_sqrt",
        "train.warmup": 2_000,
        "train.clip": 5.0,
        "train.validations": 50,
        "train.validation_rows": 1_000,
        "algorithm.beta=exponential": {"algorithm.rate": 1 / 10},
        "algorithm=imitkd|imitkd_full|imitkd_star|imitkd_star_full|dagger": {"algorithm.group": 4},
        **GREEDY,
        SMOOTHED: {"algorithm.label_smoothing": 0.1},
        "algorithm=seqinter": iwslt.SEQINTER,  # which the paper states for IWSLT14 alone
        "evaluate.beam": 5,
    },
}


@once
def load(
    data_dir: str | None = None,
    corpus: str = "auto",
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
    """Summaries of news: a local folder, CNN/DailyMail from the hub, or the bundled corpus in their stead.

    As in the paper, what is too long is cut, in training as well as in testing: no document is skipped.  A document ends
    after ``source_limit`` tokens, a training summary after ``target_limit``; summaries are scored against whole references.

    Args:
        data_dir: folder with {train,valid,test}.jsonl, plain or .gz: article and highlights (or document and summary) a line
        corpus: auto (data_dir, else a prepared cache, else the hub, else bundled), local, hub or bundled
        horizon: most tokens in a summary, EOS included
        limit_ratio: a of a limit a·S + b on the tokens generated for a source of S tokens; null: the horizon alone
        limit_offset: b of that limit
        source_limit: tokens at which a document is cut, EOS included
        target_limit: tokens at which a training summary is cut, EOS included; never more than the horizon
        vocabulary: size of the subword vocabulary of documents and summaries
        lowercase: lower-case both sides; ROUGE does not see case
        hub: data set on the hub, or a folder in the same layout
        bundled_pairs: training pairs of the bundled corpus, its first ones
    """
    data = HubSet("CNN/DailyMail", hub, "article", "highlights", "3.0.0")
    text = find_summaries(corpus, data_dir, "news", data, bundled_pairs)
    return summarisation(
        *(ID, text, vocabulary, lowercase),
        source_limit=source_limit,
        target_limit=target_limit,
        horizon=horizon,
        limit_ratio=limit_ratio,
        limit_offset=limit_offset,
    )
