"""Run folders: never shared by two runs, named by default, resumable by one command."""

from dataclasses import asdict

import pytest

from agents.runs.changes import read_changes
from agents.runs.folder import has_content, make_folder, open_folder, resume_command
from agents.runs.locks import locked
from agents.training.checkpoint import save_tensors
from agents.training.state import TrainerState
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
    path = open_and_close(out, "train.lr=0.1") / "checkpoints" / "last.safetensors"
    save_tensors(path, {}, {"progress": asdict(TrainerState(step=7))})
    return out


def test_run_that_never_started_may_be_replaced(tmp_path):
    out = f"out={tmp_path / 'run'}"
    folder = open_and_close(out, "train.steps=5")
    assert not has_content(folder)
    open_and_close(out)


def test_started_run_is_not_overwritten(started):
    with pytest.raises(UserError, match="holds a run: continue it with resume=true"):
        open_and_close(started)


def test_resume_may_change_the_evaluation_and_some_of_the_training(started, tmp_path):
    changes = ["evaluate.beam=5", "train.lr=0.5", "train.steps=99", "train.validations=3"]
    folder = open_and_close(started, "resume=true", *changes)
    recorded = read_changes(folder)
    assert {row["key"] for row in recorded} == {change.split("=")[0] for change in changes}
    assert {row["step"] for row in recorded} == {7}
    open_and_close(started, "resume=true", *changes)
    assert read_changes(folder) == recorded
    with pytest.raises(UserError, match=r"train\.batch_tokens="):
        open_and_close(started, "resume=true", *changes, "train.batch_tokens=5")


def test_steps_cannot_be_fewer_than_those_done(started, tmp_path):
    with pytest.raises(UserError, match=r"^train\.steps=6: the run in .* has done 7 steps$"):
        open_and_close(started, "resume=true", "train.lr=0.1", "train.steps=6")
    open_and_close(started, "resume=true", "train.lr=0.1")
    assert not read_changes(tmp_path / "run")


def test_finished_run_may_change_its_training_only_to_train_longer(started, tmp_path):
    results = tmp_path / "run" / "results.json"
    results.touch()
    open_and_close(started, "resume=true", "evaluate.beam=2", "train.lr=0.1")
    with pytest.raises(UserError, match=r"train\.lr=0\.1 "):
        open_and_close(started, "resume=true", "train.lr=0.5")
    assert results.is_file()
    open_and_close(started, "resume=true", "train.lr=0.5", "train.steps=9999")
    assert not results.is_file()


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
    names = []
    for _ in range(3):
        folder = open_and_close()
        (folder / "results.json").touch()
        names.append(folder.name)
    assert names == [name, f"{name}-2", f"{name}-3"]


def test_default_folder_of_a_run_that_left_nothing_is_used_again_unless_it_runs(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder = open_and_close()
    assert open_and_close() == folder
    with locked(folder):
        assert open_and_close().name == f"{folder.name}-2"


def test_resume_command_names_the_folder_once(tmp_path):
    overrides = ["env=Copy-v0", "out=old", "resume=true"]
    command = resume_command("experiments/dagger.py", overrides, tmp_path)
    assert command == f"python experiments/dagger.py out={tmp_path} resume=true"


def test_resume_command_repeats_what_no_folder_may_name(tmp_path):
    overrides = ["env=my_task", "algorithm=mine.Own", "reward=mine.short", "train.lr=0.1"]
    command = resume_command("experiments/dagger.py", overrides, tmp_path)
    kept = "algorithm=mine.Own reward=mine.short"
    assert command == f"python experiments/dagger.py {kept} out={tmp_path} resume=true"
