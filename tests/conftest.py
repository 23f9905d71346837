"""What every test gets: a cache of its own session, no network, and one tiny task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from textgen_env.tasks import copy
from textgen_env.tasks.task import Task

pytest.register_assert_rewrite("support")

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"

settings.register_profile(
    "textgen", deadline=None, database=None, derandomize=True
)  # the same cases on every machine
settings.load_profile("textgen")

torch.set_num_threads(
    1
)  # tiny tensors: a second thread only waits, and two workers share two cores


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The session's TEXTGEN_CACHE; the hub is offline."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTGEN_CACHE", str(folder))
        patch.setenv("HF_HOME", str(folder / "huggingface"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield folder


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The global generator begins every test alike."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def task() -> Task:
    """Copy-v0, small: five symbols, strings of one to five, horizon 8."""
    return copy.load(symbols=5, max_length=5, horizon=8, train=200, valid=20, test=20)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The real corpora beside the repository, for tests that measure against them."""
    if not CORPORA.is_dir():
        pytest.skip(f"no real corpora in {CORPORA}")
    return CORPORA
