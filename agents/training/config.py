"""The settings of a training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        steps: optimizer steps.
        lr: peak learning rate of AdamW.
        schedule: learning rate after the warm-up: linear or inverse_sqrt.
        warmup: steps of linear warm-up.
        clip: largest gradient norm.
        weight_decay: of AdamW. As usual, it applies to matrices (embeddings too) but not to biases
            and norms.
        patience: stop after this many validations without a better score; None: never.
        validations: number of validations, evenly spaced, the last one at the end; each of them
            saves a checkpoint.
        accumulate: number of parts that a batch is split into, to save memory; the gradient is that
            of the whole batch, see ``run_round``.
        checkpointing: compute the layers again in the backward pass instead of keeping their
            activations; the gradient is the same. Only for policies with that attribute.
        seed: key of all random numbers.
        precision: "float32" or "bf16".
        device: torch device.
        resume: continue from the last checkpoint if there is one; the final weights are bitwise
            equal to those of an uninterrupted training.
        validate_first: also validate before the first step, so that the result is never worse
            than the initial weights.
    """

    steps: int
    lr: float = 1e-3
    schedule: str = "linear"
    warmup: int = 100
    clip: float = 5.0
    weight_decay: float = 0.0
    patience: int | None = None
    validations: int = 10
    accumulate: int = 1
    checkpointing: bool = False
    seed: int = 0
    precision: str = "float32"
    device: str = "cpu"
    resume: bool = False
    validate_first: bool = False
