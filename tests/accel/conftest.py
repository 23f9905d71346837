"""Workers for the smallest decode."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agents import accel
from agents.accel import workers
from agents.generation import decoding


@pytest.fixture
def three_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three processes, this one included, also for small decodes."""
    monkeypatch.setattr(workers, "MIN_ROWS", 1)
    monkeypatch.setattr(workers, "MIN_WORK", 0)
    monkeypatch.delenv("TEXTGEN_ACCEL", raising=False)
    accel.install(3)
    yield
    for policy in [*workers.teams]:
        workers.stop_team(policy)
    workers.set_max_workers(None)
    decoding.runner = decoding.run_in_process
