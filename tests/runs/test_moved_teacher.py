"""A resume may name another place of its teacher: the same files are there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from agents.runs.moved_teacher import HASHES, check_place, moved_keys, record_hashes, set_place
from support.pretrained_models import gpt2
from textgen_env.errors import UserError


def model(folder: Path, seed: int) -> str:
    torch.manual_seed(seed)
    return f"hf:{gpt2(folder)}"


def run(folder: Path, seed: int) -> str:
    path = folder / "checkpoints" / "best.safetensors"
    path.parent.mkdir(parents=True)
    path.write_text(f"weights {seed}")
    return str(folder)


def outputs(folder: Path, seed: int) -> str:
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}.txt").write_text(f"output {seed}\n")
    return f"outputs:{folder}/{{split}}.txt"


KINDS: dict[str, Callable[[Path, int], str]] = {"model": model, "run": run, "outputs": outputs}


def config(path: str | None) -> DictConfig:
    return OmegaConf.create({"teacher": {"path": path}})


def started(folder: Path, path: str | None) -> Path:
    """A run with that teacher."""
    folder.mkdir()
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config(path)))
    record_hashes(folder, config(path))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_elsewhere_is_the_same_teacher(kind, tmp_path):
    path = KINDS[kind](tmp_path / "here", 0)
    folder = started(tmp_path / "started", path)
    assert moved_keys(folder, config(path)) == ()
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = path.replace(f"{tmp_path}/here", f"{tmp_path}/there")
    assert moved_keys(folder, config(moved)) == ("teacher.path",)
    finished = config(path)
    if kind != "model":  # whose place is checked when it is opened, as it may be on the Hub
        with pytest.raises(UserError, match=r"is missing; if it was moved, add teacher\.path="):
            check_place(folder, finished)
    set_place(folder, finished, moved)
    check_place(folder, finished)
    assert finished.teacher.path == moved


@pytest.mark.parametrize("kind", KINDS)
def test_another_teacher_is_refused_in_one_line(kind, tmp_path):
    path = KINDS[kind](tmp_path / "here", 0)
    other = KINDS[kind](tmp_path / "there", 1)
    with pytest.raises(UserError) as error:
        moved_keys(started(tmp_path / "started", path), config(other))
    assert f"its teacher, {path}, had other weights than teacher.path={other}" in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="had other weights than") as error:
        set_place(tmp_path / "started", config(path), other)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [moved_keys, lambda f, c: set_place(f, c, c.teacher.path)])
def test_a_place_that_is_empty_is_refused_in_one_line(kind, change, tmp_path):
    path = KINDS[kind](tmp_path / "here", 0)
    folder = started(tmp_path / "started", path)
    shutil.rmtree(tmp_path / "here")
    other = config(path.replace(f"{tmp_path}/here", f"{tmp_path}/there"))
    with pytest.raises(UserError, match=f"{tmp_path}/there") as error:
        change(folder, other)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", [None, "student"])
def test_a_teacher_without_a_place_cannot_move(path, tmp_path):
    folder = started(tmp_path / "started", path)
    assert not (folder / HASHES).exists()
    assert moved_keys(folder, config("hf:anywhere")) == ()
    check_place(folder, config(path))
    with pytest.raises(UserError, match=r"hf:anywhere does not apply: .*leave it out"):
        set_place(folder, config(path), "hf:anywhere")


def test_a_run_without_hashes_keeps_its_teacher(tmp_path):
    """Of an earlier version."""
    folder = started(tmp_path / "started", run(tmp_path / "here", 0))
    (folder / HASHES).unlink()
    other, same = run(tmp_path / "there", 0), str(tmp_path / "here")
    assert moved_keys(folder, config(other)) == ()
    set_place(folder, config(same), same)
    with pytest.raises(UserError, match=f"leave teacher.path out, and keep its teacher in {same}"):
        set_place(folder, config(same), other)
