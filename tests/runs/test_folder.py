"""Run folders: never shared by two runs, named by default, resumable by one command."""

import pytest

from agents.runs.folder import has_content, make_folder, open_folder, resume_command
from cli import read
from textgen_env.errors import UserError


def open_and_close(*overrides):
    """Open a folder as ``dagger.py`` does, and release its lock."""
    overrides = ["env=Copy-v0", *overrides]
    with open_folder(read("dagger", overrides), "experiments/dagger.py", overrides) as folder:
        return folder


@pytest.fixture
def started(tmp_path):
    """The override of the folder of a started run."""
    out = f"out={tmp_path / 'run'}"
    (open_and_close(out, "train.lr=0.1") / "checkpoints").mkdir()
    return out


def test_run_that_never_started_may_be_replaced(tmp_path):
    out = f"out={tmp_path / 'run'}"
    folder = open_and_close(out, "train.steps=5")
    assert not has_content(folder)
    open_and_close(out)


def test_started_run_is_not_overwritten(started):
    with pytest.raises(UserError, match="holds a run: continue it with resume=true"):
        open_and_close(started)


def test_resume_may_change_the_evaluation_and_the_learning_rate_only(started):
    open_and_close(started, "resume=true", "evaluate.beam=5", "train.lr=0.5")
    with pytest.raises(UserError, match=r"train\.steps="):
        open_and_close(started, "resume=true", "train.steps=5", "train.lr=0.5")


def test_finished_run_may_change_the_evaluation_only(started, tmp_path):
    (tmp_path / "run" / "results.json").touch()
    open_and_close(started, "resume=true", "evaluate.beam=2", "train.lr=0.1")
    with pytest.raises(UserError, match=r"train\.lr=0\.1 "):
        open_and_close(started, "resume=true", "train.lr=0.5")


def test_file_is_not_a_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file; name a folder"):
        open_and_close(f"out={tmp_path / 'file'}")
    with pytest.raises(UserError, match="name a folder that can be written"):
        make_folder(str(tmp_path / "file"))


def test_folder_with_other_content_is_rejected(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="is not empty and holds no run: choose another out="):
        open_and_close(f"out={tmp_path}")


def test_resume_needs_an_existing_run(tmp_path):
    with pytest.raises(UserError, match=r"^resume=true: there is no run in "):
        open_and_close(f"out={tmp_path / 'none'}", "resume=true")
    assert not (tmp_path / "none").exists()
    with pytest.raises(UserError, match=r"^resume=true: name the folder of the run with out=$"):
        open_and_close("resume=true")


def test_default_folders_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "Copy-v0-imitkd_full-transformer-seed0"
    assert [open_and_close().name for _ in range(3)] == [name, f"{name}-2", f"{name}-3"]


def test_resume_command_names_the_folder_once(tmp_path):
    overrides = ["env=Copy-v0", "out=old", "resume=true"]
    command = resume_command("experiments/dagger.py", overrides, tmp_path)
    assert command == f"python experiments/dagger.py env=Copy-v0 out={tmp_path} resume=true"
