"""The keys of ``experiments/export.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from conf import BatchSize, Count, Machine


@dataclass(frozen=True)
class Config(Machine):
    """Export the student of a run for another inference library.

    Args:
        device: device of student and teacher in the comparison
        run: finished run folder
        format: ctranslate2, or merged: a Hugging Face student with its adapter merged, for
            transformers
        quantization: float32 or int8, or another that this CPU supports
        out: folder of the exported model; null: RUN/export-<quantization> or RUN/export-merged
        rows: maximum number of test sentences for the comparison
        batch_sizes: batch sizes of the speed measurement
    """

    passes: ClassVar[str] = "env"
    device: str = "cpu"
    run: str | None = None
    format: Literal["ctranslate2", "merged"] = "ctranslate2"
    quantization: str = "float32"
    out: str | None = None
    rows: Count = 500
    batch_sizes: tuple[BatchSize, ...] = (1, 64)
