"""The keys of ``experiments/export.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from conf import COUNT, TASK_KEYS, Machine, key
from textgen_env.errors import Range


@dataclass
class Config(Machine):
    """Export the student of a run for another inference library."""

    passes: ClassVar[str] = "env"
    run: str | None = key(None, "finished run folder")
    format: str = key(
        "ctranslate2",
        "ctranslate2, or merged: a Hugging Face student with its adapter merged, for transformers",
    )
    quantization: str = key("float32", "float32 or int8, or another that this CPU supports")
    out: str | None = key(
        None, "folder of the exported model; null: RUN/export-<quantization> or RUN/export-merged"
    )
    rows: int = key(500, "maximum number of test sentences for the comparison", COUNT)
    batch_sizes: list[int] = key([1, 64], "batch sizes of the speed measurement", Range(1, 10**5))
    device: str = key("cpu", "device of student and teacher in the comparison")
    overrides: list[str] = key([], TASK_KEYS)
