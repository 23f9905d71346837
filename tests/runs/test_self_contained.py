"""A run folder alone, moved and without corpus and cache, reproduces its outputs and scores."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest

import cli
import dagger
import generate
import score
from support.cases import others_slow
from support.commands import CPU, SMALL_STUDENT, TINY_RUN, TRAINED_TEACHER, run_in_process
from support.pretrained_models import FAMILIES

SMALL_RNN = ("student.width=16", "student.encoder_width=16", "student.embedding=16")
TRAINING = [*(word for word in TINY_RUN if not word.startswith("student.")), "algorithm=bc"]
TEXT = ["env=ParallelText-v0", "env.unescape=true", "env.lowercase=true", "env.data_dir=text"]
SHORT = ["env.source_limit=64", "env.horizon=64"]  # the model has 128 positions
TAUGHT = [*TEXT, "env.vocabulary=80", *TRAINED_TEACHER]
RUNS = {  # name: its overrides
    "transformer": [*TAUGHT, *SMALL_STUDENT, "env.limit_ratio=1.5", "env.limit_offset=3"],
    "gru": [*TAUGHT, "student=gru", *SMALL_RNN, "evaluate.beam=3", "evaluate.length_penalty=0.5"],
    "lstm": [*TAUGHT, "student=lstm", *SMALL_RNN],
    "sru": [*TAUGHT, "student=sru", *SMALL_RNN],
    "pretrained": [*TEXT, "teacher.path=hf:marian", *SMALL_STUDENT],
    "hf": [*TEXT, "student=hf", "student.path=marian", "student.layers=1", *TRAINED_TEACHER],
    "hf-causal": [*TEXT, "student=hf", "student.path=llama", *SHORT, *TRAINED_TEACHER],
    "Copy-v0": ["env=Copy-v0", "env.train=40", "env.symbols=5", *SMALL_STUDENT],
    "G2P-v0": ["env=G2P-v0", "env.data_dir=words", *TRAINED_TEACHER, *SMALL_STUDENT],
    "Tightrope-v0": ["env=Tightrope-v0", "env.train=40", "env.horizon=6", *SMALL_STUDENT],
}
NAMES = others_slow(RUNS.keys(), "gru", "hf", "Copy-v0")
TEST_SETS = {"Copy-v0": "", "Tightrope-v0": "", "G2P-v0": "words"}  # generated, or elsewhere


def write_text(folder: Path, *splits: str) -> None:
    """A corpus of raw text, with escapes and capitals."""
    folder.mkdir(parents=True)
    for split in splits:
        for suffix, start in (("de", "Ein Wort &amp; Nummer"), ("en", "A word &amp; number")):
            count = 60 if split == "train" else 12
            lines = [f"{start} {number}  {'wort ' * (number % 5)}\n" for number in range(count)]
            (folder / f"{split}.{suffix}").write_text("".join(lines))


def write_words(folder: Path) -> None:
    """A dictionary of 15,000 words."""
    folder.mkdir(parents=True)
    words = itertools.islice(itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=3), 15_000)
    lines = ["".join(word) + " B AH0 D\n" for word in words]
    (folder / "cmudict.dict").write_text("".join(lines))


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Holds ``cache``, where the runs find their teacher, and ``test`` and ``words`` to test on."""
    home = tmp_path_factory.mktemp("home")
    write_text(home / "test", "test")
    write_words(home / "words")
    return home


@pytest.fixture
def run(request, home, tmp_path, monkeypatch) -> Path:
    """The folder of a run, moved away from where it was written; without corpus and cache.

    Beside it, ``NAME-scored`` has the scores of student and teacher before that.
    """
    moved, scored, origin = home / request.param, home / f"{request.param}-scored", home / "origin"
    if not moved.is_dir():
        write_text(origin / "text", "train", "valid", "test")
        write_words(origin / "words")
        monkeypatch.chdir(origin)
        monkeypatch.setenv("TEXTGEN_CACHE", str(home / "cache"))
        monkeypatch.setattr("agents.reporting.save_report", lambda *args: None)
        for family in ("marian", "llama"):
            if any(word.endswith(family) for word in RUNS[request.param]):
                FAMILIES[family](Path(family))
        dagger.main(cli.read("dagger", [*RUNS[request.param], *TRAINING, "out=run"]))
        run_in_process(score, "run=run", "rows=12", "teacher=true", *CPU, f"out={scored}")
        shutil.move(origin / "run", moved)
        monkeypatch.chdir(home)
        shutil.rmtree(origin)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    return moved


def recorded(run: Path) -> bytes:
    """The outputs that the run recorded."""
    (path,) = (run / "outputs").glob("*.jsonl")
    return path.read_bytes()


def check_scores(scored: Path, run: Path, *models: str) -> None:
    """Assert that the scores are those in the run's results.json, and its outputs the same."""
    results = json.loads((run / "results.json").read_text())
    summary = json.loads((scored / "scores.json").read_text())
    assert tuple(summary["scores"]) == models
    for model, entry in summary["scores"].items():
        assert entry.pop("intervals")
        assert entry == results["scores"][model]
    assert (scored / "student.jsonl").read_bytes() == recorded(run)


@pytest.mark.parametrize("run", NAMES, indirect=True)
def test_score_finds_the_scores_of_the_run_for_student_and_teacher(run, home):
    check_scores(home / f"{run.name}-scored", run, "teacher", "student")


@pytest.mark.parametrize("run", NAMES, indirect=True)
def test_score_needs_only_the_folder_and_the_test_set(run, home):
    test_set = TEST_SETS.get(run.name, "test")
    data = [f"env.data_dir={home / test_set}"] if test_set else []
    run_in_process(score, f"run={run}", *data, "rows=12", *CPU, "out=scored")
    check_scores(Path("scored"), run, "student")


@pytest.mark.parametrize("run", NAMES, indirect=True)
def test_generate_needs_only_the_folder(run):
    rows = [json.loads(line) for line in recorded(run).decode().splitlines()]
    Path("source.txt").write_text("".join(f"{row['source']}\n" for row in rows))
    beam = ["beam=3", "length_penalty=0.5"] if run.name == "gru" else []
    words = [f"run={run}", "input=source.txt", "output=target.txt", *beam, *CPU]
    generate.main(cli.read("generate", words))
    assert Path("target.txt").read_text() == "".join(f"{row['hypothesis']}\n" for row in rows)
