"""Optional accelerations on a CPU. Without this folder everything gives the same, in more time."""

from __future__ import annotations

import os

from agents.accel import workers
from agents.generation import decoding


def install(count: int | None = None) -> str:
    """Accelerate this process, unless the environment says TEXTGEN_ACCEL=0.

    Args:
        count: Processes over which a large decode may be split; None: one a thread of torch.

    Returns:
        What was installed, in words; "none" where nothing was.
    """
    workers.limit(count)
    on = os.environ.get("TEXTGEN_ACCEL") != "0" and workers.most_workers() > 1
    decoding.runner = workers.spread if on else decoding.direct
    return f"large decodes over {workers.most_workers()} processes" if on else "none"
