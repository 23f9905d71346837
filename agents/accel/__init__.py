"""Optional CPU accelerations. Without this folder, results are the same and take longer."""

from __future__ import annotations

import os

from agents.accel import allocator, workers
from agents.generation import decoding

__all__ = ["install"]


def install(count: int | None = None) -> str:
    """Accelerate this process, unless the environment variable TEXTGEN_ACCEL is 0.

    Args:
        count: Maximum number of processes for a large decode; None: the number of torch's threads.

    Returns:
        A description of what was installed; "none" if nothing was.
    """
    workers.set_max_workers(count)
    decoding.runner = decoding.run_in_process
    if os.environ.get("TEXTGEN_ACCEL") == "0":
        return "none"
    installed = ["freed memory is kept"] if allocator.keep_freed_memory() else []
    if workers.max_workers() > 1:
        decoding.runner = workers.decode_in_workers
        installed.append(f"large decodes over {workers.max_workers()} processes")
    return ", ".join(installed) or "none"
