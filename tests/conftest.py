"""For every test: a cache folder of its session, no network, a fixed seed; and one tiny task."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import settings

from textgen_env.tasks import copy
from textgen_env.tasks.task import Task

pytest.register_assert_rewrite("support")

os.environ["HF_HUB_OFFLINE"] = "1"  # huggingface_hub reads it once, when it is imported

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"

# derandomize: the same examples on every machine
settings.register_profile("textgen", deadline=None, database=None, derandomize=True)
settings.load_profile("textgen")

torch.set_num_threads(1)  # the tensors are tiny, and two pytest workers share two cores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked ``browser`` or ``gpu`` on a machine without one."""
    missing = {}
    if shutil.which("chromium") is None:
        missing["browser"] = "no chromium: apt-get install chromium"
    if not torch.cuda.is_available():
        missing["gpu"] = "no CUDA device"
    for item in items:
        for mark in missing.keys() & {marker.name for marker in item.iter_markers()}:
            item.add_marker(pytest.mark.skip(reason=missing[mark]))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that TEXTGEN_CACHE names in this session."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTGEN_CACHE", str(folder))
        patch.setenv("HF_HOME", str(folder / "huggingface"))
        yield folder


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Seed torch's global generator before every test."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def task() -> Task:
    """A small Copy-v0: five symbols, strings of one to five symbols, horizon 8."""
    return copy.load(symbols=5, max_length=5, horizon=8, train=200, valid=20, test=20)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The real corpora beside the repository; tests that need them are skipped without."""
    if not CORPORA.is_dir():
        pytest.skip(f"no real corpora in {CORPORA}")
    return CORPORA


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package ``datasets``, with a cache of its own; the test is skipped without it."""
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    return pytest.importorskip("datasets", reason="the hub extra (datasets) is not installed")
