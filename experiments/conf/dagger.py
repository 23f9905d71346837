"""The keys of ``experiments/dagger.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from conf import MAY_BE_EMPTY, BatchSize, Beam, Count, Machine, Penalty, Seed
from textgen_env.errors import Range


@dataclass(frozen=True)
class Training:
    """The trainer's settings.

    Args:
        steps: updates; null: as many as train.epochs are
        epochs: passes over the training data, instead of train.steps
        batch_tokens: target tokens per mini-batch, padding included
        accumulate: parts of a mini-batch that are computed one after the other, to save memory; the
            gradient stays that of the whole mini-batch
        checkpointing: compute a transformer's layers twice, to save memory; the gradient is the
            same
        lr: peak learning rate (AdamW)
        schedule: after the warm-up: linear (to 0) or inverse_sqrt
        warmup: updates of linear warm-up
        clip: maximum gradient norm
        weight_decay: weight decay of matrices and embeddings (AdamW)
        validations: validations, each followed by a checkpoint
        patience: stop after this many validations without a better score; null: never
        validation_rows: maximum number of validation sentences
    """

    steps: Count | None = 1000
    epochs: Annotated[float, Range(0, 10**6, "least")] | None = None
    batch_tokens: Annotated[int, Range(1, 10**7)] = 4096
    accumulate: Annotated[int, Range(1, 10**5)] = 1
    checkpointing: bool = False
    lr: Annotated[float, Range(0, 100, "least")] = 0.001
    schedule: str = "linear"
    warmup: Annotated[int, Range(0, 10**9)] = 100
    clip: Annotated[float, Range(0, 10**6, "least")] = 5.0
    weight_decay: Annotated[float, Range(0, 1000)] = 0.0
    validations: Annotated[int, Range(1, 10**6)] = 10
    patience: Count | None = None
    validation_rows: Count = 250


@dataclass(frozen=True)
class Teacher:
    """Where the teacher comes from, and how it is trained.

    Args:
        path: finished run folder whose student teaches; hf:NAME_OR_FOLDER, a model of transformers;
            student: the base model of the student's adapter; or outputs:FILE, recorded outputs for
            the training sources (text in their order, .tsv or .jsonl; {split} in the name stands
            for train and test); null: train one
        source_prefix: text before every source of an hf: teacher, as T5 needs it
        separator: text between source and target of a decoder-only hf: teacher; empty: its EOS
            token
        dtype: weights of an hf: teacher: float32, or bfloat16 for half the memory
        prompt_field: column with the prompt that only the teacher sees, in the conversations of
            Chat-v0, a text or a list of messages; null: it sees what the student sees
        share_vocabulary: the student takes the tokenizer of an hf: teacher; false: it keeps the
            task's, and the two exchange texts, which is enough for seqkd, seqinter and rewards
        compile: compile the layers of a transformer with torch.compile; pays off on a GPU
        seed: seed of its training, so that runs with different seeds share it
        length_penalty: length penalty of beam search: scores are divided by length ** penalty, for
            its demonstrations
        label_smoothing: label smoothing of its training
    """

    path: str | None = None
    source_prefix: str = ""
    separator: str = ""
    dtype: Literal["float32", "bfloat16"] = "float32"
    prompt_field: str | None = None
    share_vocabulary: bool = True
    compile: bool = False
    seed: Seed = 0
    length_penalty: Penalty = 1.0
    label_smoothing: Annotated[float, Range(0, 1, "most")] = 0.1
    train: Training = Training()


@dataclass(frozen=True)
class Evaluation:
    """How the student and the teacher are evaluated.

    Args:
        beam: beam width on the test split; 1: greedy
        length_penalty: length penalty of beam search: scores are divided by length ** penalty
        rows: test sentences to score; null: all
        batch_size: batch size of the speed measurement
        speed_rows: maximum number of test sentences in the speed measurement
    """

    beam: Beam = 1
    length_penalty: Penalty = 1.0
    rows: Count | None = None
    batch_size: BatchSize = 64
    speed_rows: Count = 256


@dataclass(frozen=True)
class Config(Machine):
    """Distill a teacher into a student by imitation or reinforcement learning.

    Args:
        preset: quick: minutes on two cores; base: one to two hours, on real data; paper: settings
            of Lin et al. 2020, on real data
        seed: seed of everything except the teacher's training; equal seeds give equal weights
        out: run folder; null: runs/<env>-<algorithm>-<student>-seed<seed>, numbered if it exists,
            or the job's folder with --multirun
        init: finished run folder whose student is trained further; null: fresh weights
        reward: zero_one, cost, expert_logprob, expert_logprob_mean, bleu, chrf, rouge, accuracy or
            module.function; null: the task's default
        metric: bleu, bleu:TOKENIZER, chrf, rouge, accuracy, phonemes or module.function; null: the
            task's default
        logger: besides metrics.jsonl: tensorboard, wandb, trackio, module.Class; []: nothing
        resume: true: continue the run in out=, with the settings of its folder, where steps,
            epochs, patience, lr, clip, validations, accumulate and checkpointing of train may
            change; auto: start the run if the folder has none
    """

    groups: ClassVar[dict[str, str]] = {
        "env": "IWSLT-v0",
        "teacher": "transformer",
        "student": "transformer",
        "algorithm": "imitkd_full",
    }
    preset: str = "quick"
    seed: Seed = 0
    out: str | None = None
    init: str | None = None
    reward: str | None = None
    metric: str | None = None
    logger: Annotated[tuple[str, ...], MAY_BE_EMPTY] = ("tensorboard",)
    resume: Literal[True, False, "auto"] = False
    teacher: Teacher = Teacher()
    train: Training = Training()
    evaluate: Evaluation = Evaluation()
