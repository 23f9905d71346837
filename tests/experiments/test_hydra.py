"""Hydra's own options: ``--multirun``, launchers, ``--cfg``, ``--info``, ``--help``."""

import re
import subprocess
from contextlib import suppress

import pytest
from omegaconf import OmegaConf

import cli
from agents.runs.config import leaves
from cli import read
from cli.schema import GROUPS, keys, options
from support.cases import others_slow
from support.commands import TINY, command, environment
from support.refused import never, refused

COPY = ["env=Copy-v0", "env.train=40", "train.batch_tokens=64", "train.validations=1", *TINY]
OWN = """
from agents.algorithms.bc import BC
from textgen_env.errors import UserError

class Picky(BC):
    def loss(self, batch, clock):
        raise UserError("this loss is never right")

class Buggy(BC):
    def loss(self, batch, clock):
        raise RuntimeError("a bug")
"""


def run(folder, *words):
    return subprocess.run(
        command("dagger.py", *words),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(),
    )


def printed(monkeypatch, capsys, command, *words):
    """What a command prints that only shows something."""
    monkeypatch.setattr("sys.argv", [f"{command}.py", *words])
    with suppress(SystemExit):
        cli.run(never, command)
    return capsys.readouterr().out


def test_the_configuration_can_be_printed_with_its_preset(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = ["--cfg", "job", "--resolve", "env=Copy-v0"]
    shown = OmegaConf.create(printed(monkeypatch, capsys, "dagger", *words))
    assert leaves(shown) == leaves(read("dagger", ["env=Copy-v0"]))
    assert not list(tmp_path.iterdir())


FLAGS = {
    "defaults": (
        ["--info", "defaults", "env=Copy-v0"],
        "preset/run/Copy-v0-exact-transformer-imitkd_full-quick",
    ),
    "config": (["--info", "config"], "Config"),
    "help": (["--hydra-help"], "Hydra"),
    "version": (["--version"], "Hydra 1."),
}


@pytest.mark.parametrize(("words", "text"), others_slow(FLAGS))
def test_other_flags_of_hydra_work(words, text, tmp_path):
    # In a process of its own: Hydra configures logging, which closes the handlers of pytest.
    process = subprocess.run(
        command("dagger.py", *words),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert text in process.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_the_jobs_of_a_sweep_run_also_if_another_one_fails(launcher, tmp_path):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    (tmp_path / "own.py").write_text(OWN)
    words = [*COPY, "train.steps=2", "algorithm=own.Picky,bc", "threads=1"]
    words += [f"hydra/launcher={launcher}", "hydra.sweep.dir=sweep"]
    done = run(tmp_path, "--multirun", *words)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(
        r"error: job 0 \(.*algorithm=own\.Picky.*this loss is never right", done.stderr
    )
    assert "error: 1 job of this sweep failed: sweep/failed.txt" in done.stderr
    assert (tmp_path / "sweep" / "failed.txt").read_text().startswith("job 0 (")
    assert (tmp_path / "sweep" / "1" / "results.json").is_file()
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_bug_in_a_sweep_is_hydras_exit_code_one(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    words = [*COPY, "train.steps=2", "algorithm=own.Buggy,bc", "hydra.sweep.dir=sweep"]
    done = run(tmp_path, "-m", *words)
    assert done.returncode == 1
    assert "RuntimeError: a bug" in done.stderr
    assert (tmp_path / "sweep" / "1" / "results.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=0,-1"], "seed=-1: expected a number from 0"),
        (["seed=0,1", "train.stesp=3"], "unknown key 'train.stesp'"),
        (["env=Copy-v0,IWSLT-v1"], "unknown env 'IWSLT-v1'"),
        (["algorithm=bc,imitkd", "algorithm.relabel=all"], "unknown key 'algorithm.relabel'"),
        (["algorithm=imitkd,imitkd_full", "algorithm.relabel=all"], "algorithm.relabel does not"),
        (["seed=0,1", "out=here"], "out=here: 2 jobs would share this folder; leave it out"),
        (["env=Copy-v0,IWSLT-v0"], "choose teacher=exact and teacher=transformer; give teacher="),
        (["seed=0,1", "+seeds=3"], "are for hydra.* keys only"),
        (["seed=0,1", "seed=2"], "seed is given 2 times"),
        (["algorithm=glob(nothing*)"], ""),
    ],
)
def test_mistakes_in_any_job_are_found_before_the_first_one_starts(
    words, message, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert message in refused(monkeypatch, capsys, never, "dagger", "--multirun", *words)
    assert not list(tmp_path.iterdir())


def test_a_sweep_runs_every_combination_in_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    configs = []
    words = ["env=Copy-v0", "algorithm=glob(gold*)", "seed=range(0,2)", "hydra.sweep.dir=sweep"]
    monkeypatch.setattr("sys.argv", ["dagger.py", "--multirun", *words])
    cli.run(configs.append, "dagger")
    assert [(config.algorithm.name, config.seed) for config in configs] == [
        (name, seed) for name in ("gold", "gold_p", "gold_s") for seed in (0, 1)
    ]
    assert [config.out for config in configs] == [f"sweep/{job}" for job in range(6)]
    words = ["env=Copy-v0", "seed=0,1", "out=runs/${seed}", "hydra.sweep.dir=sweep"]
    monkeypatch.setattr("sys.argv", ["dagger.py", "--multirun", *words])
    cli.run(configs.append, "dagger")
    assert [config.out for config in configs[6:]] == ["runs/0", "runs/1"]


def test_a_comparison_passes_other_keys_on_to_its_runs(monkeypatch, tmp_path):
    configs, words = [], ["env=Copy-v0", "seeds=[0,1]", "train.lr=0.1", 'teacher.path="a=b"']
    monkeypatch.setattr("sys.argv", ["compare.py", *words])
    cli.run(configs.append, "compare")
    assert configs[0].overrides == ["env=Copy-v0", "train.lr=0.1", 'teacher.path="a=b"']
    assert configs[0].seeds == [0, 1]


def built_in(group):
    """The choices of a group that this project has; other tests may have added theirs."""
    return {name for name in options(group) if "." not in name}


def test_help_lists_every_key_and_every_choice_in_80_columns(monkeypatch, capsys):
    text = printed(monkeypatch, capsys, "dagger", "--help", "student=gru")
    assert max(map(len, text.splitlines())) <= 80
    first = {line.split()[0].partition("=")[0] for line in text.splitlines() if line.split()}
    config = leaves(read("dagger", ["student=gru"]))
    assert first >= {key for key in config if not key.endswith(".name")}
    for group in ("env", "teacher", "student", "algorithm"):
        lines = [line.split() for line in text.splitlines() if line.startswith("  ")]
        assert {line[0] for line in lines if len(line) > 1} >= built_in(group)


def test_help_of_a_comparison_lists_its_own_keys(monkeypatch, capsys):
    text = printed(monkeypatch, capsys, "compare", "--help", "env=Copy-v0")
    assert "algorithms=[mle,seqkd,imitkd,imitkd_full]" in text
    assert "train.batch_tokens" not in text


def test_every_key_of_every_choice_has_a_meaning():
    for name in ("bench", "compare", "dagger", "export", "exposure_bias", "interop", "show"):
        assert all(len(known.meaning) > 4 for known in keys(name, {}).values()), name
    for group in GROUPS:
        for name in built_in(group):
            for key, known in keys("dagger", {group: name}).items():
                assert len(known.meaning) > 4, key
