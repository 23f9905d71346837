"""The keys of ``experiments/score.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from conf import BEAM, COUNT, PENALTY, Machine, key
from textgen_env.errors import Range


@dataclass
class Config(Machine):
    """Score a trained model on a test set: that of its run, or any other.

    The test set is that of the run's task. env.data_dir=FOLDER and other keys of the task choose
    another one; the folder needs no training text. env=NAME chooses another task, or names that of
    an hf: model.
    """

    passes: ClassVar[str] = "env"
    run: str | None = key(
        None, "finished run folder, or hf:MODEL, a Hugging Face model by folder or name"
    )
    split: str = key("test", "split to score on: train, valid, test")
    teacher: bool = key(False, "score also the run's teacher")
    metric: str | None = key(
        None, "bleu, bleu:TOKENIZER, chrf, rouge, accuracy or phonemes; null: that of the task"
    )
    beam: int | None = key(None, "beam width; 1: greedy; null: evaluate.beam of the run", BEAM)
    length_penalty: float | None = key(
        None, f"{PENALTY}; null: evaluate.length_penalty of the run", Range(0, 100)
    )
    rows: int | None = key(
        None, "maximum number of sentences, evenly spaced; null: all of them", COUNT
    )
    out: str | None = key(
        None, "folder for scores.json and one JSON line per sentence, MODEL.jsonl; null: none"
    )
    source_prefix: str = key("", "of hf: text before every source", empty=True)
    separator: str = key("", "of a decoder-only hf: text after every source", empty=True)
    overrides: list[str] = key([], "keys of the task, filled in from the rest of the command line")
