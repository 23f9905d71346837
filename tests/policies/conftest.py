"""Model folders of other people, tiny."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from support.pretrained_models import FAMILIES


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """``{family: model folder}``."""
    torch.manual_seed(0)
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in FAMILIES.items()}


@pytest.fixture
def copied(folders: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """Copies the model folder of a family, so that a test can change it."""
    return lambda family: Path(shutil.copytree(folders[family], tmp_path / family))
