"""The keys of ``experiments/score.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from conf import Beam, Count, Machine, Penalty, Split


@dataclass(frozen=True)
class Config(Machine):
    """Score a trained model on a test set: that of its run, or any other.

    The test set is that of the run's task. env.data_dir=FOLDER and other keys of the task choose
    another one; the folder needs no training text. env=NAME chooses another task, or names that of
    an hf: model.

    Args:
        run: finished run folder, or hf:MODEL, a Hugging Face model by folder or name
        split: split to score on: train, valid, test
        teacher: score also the run's teacher
        metric: bleu, bleu:TOKENIZER, chrf, rouge, accuracy or phonemes; null: that of the task
        beam: beam width; 1: greedy; null: evaluate.beam of the run
        length_penalty: length penalty of beam search: scores are divided by length ** penalty;
            null: evaluate.length_penalty of the run
        rows: maximum number of sentences, evenly spaced; null: all of them
        out: folder for scores.json and one JSON line per sentence, MODEL.jsonl; null: none
        source_prefix: of hf: text before every source
        separator: of a decoder-only hf: text after every source
    """

    passes: ClassVar[str] = "env"
    run: str | None = None
    split: Split = "test"
    teacher: bool = False
    metric: str | None = None
    beam: Beam | None = None
    length_penalty: Penalty | None = None
    rows: Count | None = None
    out: str | None = None
    source_prefix: str = ""
    separator: str = ""
