"""The keys of ``experiments/dagger.py``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from conf import BEAM, COUNT, PENALTY, SEED, Machine, key
from textgen_env.errors import Range


@dataclass
class Training:
    """The trainer's settings."""

    steps: int | None = key(1000, "updates; null: as many as train.epochs are", COUNT)
    epochs: float | None = key(
        None, "passes over the training data, instead of train.steps", Range(0, 10**6, "least")
    )
    batch_tokens: int = key(4096, "target tokens per mini-batch, padding included", Range(1, 10**7))
    accumulate: int = key(
        1,
        "parts of a mini-batch that are computed one after the other, to save memory; the gradient "
        "stays that of the whole mini-batch",
        Range(1, 10**5),
    )
    checkpointing: bool = key(
        False, "compute a transformer's layers twice, to save memory; the gradient is the same"
    )
    lr: float = key(0.001, "peak learning rate (AdamW)", Range(0, 100, "least"))
    schedule: str = key("linear", "after the warm-up: linear (to 0) or inverse_sqrt")
    warmup: int = key(100, "updates of linear warm-up", Range(0, 10**9))
    clip: float = key(5.0, "maximum gradient norm", Range(0, 10**6, "least"))
    weight_decay: float = key(
        0.0, "weight decay of matrices and embeddings (AdamW)", Range(0, 10**3)
    )
    validations: int = key(10, "validations, each followed by a checkpoint", Range(1, 10**6))
    patience: int | None = key(
        None, "stop after this many validations without a better score; null: never", COUNT
    )
    validation_rows: int = key(250, "maximum number of validation sentences", COUNT)


@dataclass
class Teacher:
    """Where the teacher comes from, and how it is trained."""

    path: str | None = key(
        None,
        "finished run folder whose student teaches; hf:NAME_OR_FOLDER, a model of transformers; "
        "student: the base model of the student's adapter; or outputs:FILE, recorded outputs for "
        "the training sources (text in their order, .tsv or .jsonl; {split} in the name stands for "
        "train and test); null: train one",
    )
    source_prefix: str = key(
        "", "text before every source of an hf: teacher, as T5 needs it", empty=True
    )
    separator: str = key(
        "",
        "text between source and target of a decoder-only hf: teacher; empty: its EOS token",
        empty=True,
    )
    dtype: str = key(
        "float32",
        "weights of an hf: teacher: float32, or bfloat16 for half the memory",
        choices=("float32", "bfloat16"),
    )
    prompt_field: str | None = key(
        None,
        "column with the prompt that only the teacher sees, in the conversations of Chat-v0, a "
        "text or a list of messages; null: it sees what the student sees",
    )
    share_vocabulary: bool = key(
        True,
        "the student takes the tokenizer of an hf: teacher; false: it keeps the task's, and the "
        "two exchange texts, which is enough for seqkd, seqinter and rewards",
    )
    compile: bool = key(
        False, "compile the layers of a transformer with torch.compile; pays off on a GPU"
    )
    seed: int = key(0, "seed of its training, so that runs with different seeds share it", SEED)
    length_penalty: float = key(1.0, f"{PENALTY}, for its demonstrations", Range(0, 100))
    label_smoothing: float = key(0.1, "label smoothing of its training", Range(0, 1, "most"))
    train: Training = field(default_factory=Training)


@dataclass
class Evaluation:
    """How the student and the teacher are evaluated."""

    beam: int = key(1, "beam width on the test split; 1: greedy", BEAM)
    length_penalty: float = key(1.0, PENALTY, Range(0, 100))
    rows: int | None = key(None, "test sentences to score; null: all", COUNT)
    batch_size: int = key(64, "batch size of the speed measurement", Range(1, 10**5))
    speed_rows: int = key(256, "maximum number of test sentences in the speed measurement", COUNT)


@dataclass
class Config(Machine):
    """Distill a teacher into a student by imitation or reinforcement learning."""

    groups: ClassVar[dict[str, str]] = {
        "env": "IWSLT-v0",
        "teacher": "transformer",
        "student": "transformer",
        "algorithm": "imitkd_full",
    }
    preset: str = key(
        "quick",
        "quick: minutes on two cores; base: one to two hours, on real data; paper: settings of Lin "
        "et al. 2020, on real data",
    )
    seed: int = key(
        0, "seed of everything except the teacher's training; equal seeds give equal weights", SEED
    )
    out: str | None = key(
        None,
        "run folder; null: runs/<env>-<algorithm>-<student>-seed<seed>, numbered if it exists, "
        "or the job's folder with --multirun",
    )
    init: str | None = key(
        None, "finished run folder whose student is trained further; null: fresh weights"
    )
    reward: str | None = key(
        None,
        "zero_one, cost, expert_logprob, expert_logprob_mean, bleu, chrf, rouge, accuracy or "
        "module.function; null: the task's default",
    )
    metric: str | None = key(
        None,
        "bleu, bleu:TOKENIZER, chrf, rouge, accuracy, phonemes or module.function; "
        "null: the task's default",
    )
    logger: list[str] = key(
        ["tensorboard"],
        "besides metrics.jsonl: tensorboard, wandb, trackio, module.Class; []: nothing",
        empty=True,
    )
    resume: Any = key(
        False,
        "true: continue the run in out=, with the settings of its folder, where steps, epochs, "
        "patience, lr, clip, validations, accumulate and checkpointing of train may change; auto: "
        "start the run if the folder has none",
        choices=("true", "false", "auto"),
    )
    teacher: Teacher = field(default_factory=Teacher)
    train: Training = field(default_factory=Training)
    evaluate: Evaluation = field(default_factory=Evaluation)
