"""Optional accelerations on a CPU. Without this folder everything gives the same, in more time."""

from __future__ import annotations

import os

from agents.accel import allocator, workers
from agents.generation import decoding


def install(count: int | None = None) -> str:
    """Accelerate this process, unless the environment says TEXTGEN_ACCEL=0.

    Args:
        count: Processes over which a large decode may be split; None: one a thread of torch.

    Returns:
        What was installed, in words; "none" where nothing was.
    """
    workers.limit(count)
    decoding.runner = decoding.direct
    if os.environ.get("TEXTGEN_ACCEL") == "0":
        return "none"
    words = ["freed memory is kept"] if allocator.keep_freed_memory() else []
    if workers.most_workers() > 1:
        decoding.runner = workers.decode_in_workers
        words.append(f"large decodes over {workers.most_workers()} processes")
    return ", ".join(words) or "none"
