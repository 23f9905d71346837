"""The run folder: who may use it, its default name, and the command that resumes it."""

import pytest

from agents.runs.folder import open_folder, resume_command
from cli import read
from textgen_env.errors import UserError


def opened(words):
    """The run folder that ``dagger.py`` takes, its lock given back."""
    with open_folder(read("dagger", words), "experiments/dagger.py", words) as folder:
        return folder


def test_a_run_folder_is_never_shared(tmp_path):
    words = ["env=Copy-v0", f"out={tmp_path / 'run'}"]
    opened([*words, "train.steps=5"])
    opened(words)  # the one before never began
    (tmp_path / "run" / "checkpoints").mkdir()
    with pytest.raises(UserError, match="holds a run: continue it with resume=true"):
        opened(words)
    opened([*words, "resume=true", "evaluate.beam=5", "train.lr=0.5"])
    with pytest.raises(UserError, match=r"another run: train\.steps="):
        opened([*words, "resume=true", "train.steps=5"])
    (
        tmp_path / "run" / "results.json"
    ).touch()  # a finished run can be evaluated again, but not trained differently
    opened([*words, "resume=true", "evaluate.beam=2", "train.lr=0.5"])
    with pytest.raises(UserError, match=r"another run: train\.lr=0\.5 there"):
        opened([*words, "resume=true"])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file; name a folder"):
        opened(["env=Copy-v0", f"out={tmp_path / 'file'}"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(UserError, match="is not empty and holds no run"):
        opened(["env=Copy-v0", f"out={tmp_path / 'other'}"])
    with pytest.raises(UserError, match="no run in"):
        opened(["env=Copy-v0", f"out={tmp_path / 'none'}", "resume=true"])
    assert not (tmp_path / "none").exists()
    with pytest.raises(UserError, match=r"^resume=true: name the folder of the run with out=$"):
        opened(["env=Copy-v0", "resume=true"])


def test_default_folders_do_not_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [opened(["env=Copy-v0"]).name for _ in range(3)]
    assert names == [
        "Copy-v0-imitkd_full-transformer-seed0" + suffix for suffix in ("", "-2", "-3")
    ]


def test_the_command_to_resume_names_the_folder_once(tmp_path):
    command = resume_command(
        "experiments/dagger.py", ["env=Copy-v0", "out=old", "resume=true"], tmp_path
    )
    assert command == f"python experiments/dagger.py env=Copy-v0 out={tmp_path} resume=true"
