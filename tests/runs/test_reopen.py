"""A run folder comes back as it was, and what it serves: the exposure-bias report and the step-by-step view."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from matplotlib.image import imread
from omegaconf import OmegaConf

import cli
import dagger
import export
import exposure_bias
import show
import speed
from agents.evaluation.outputs import generate, subset
from agents.generation.decoder import Decoder
from agents.runs import evaluation
from agents.runs.machine import Machine, find_machine
from agents.runs.reopen import reopen, reopen_student
from agents.runs.task import load_task
from agents.runs.teacher import find_teacher, training_cost
from agents.training.checkpoint import load_tensors, save_tensors
from agents.training.trainer import Interrupted
from benchmarks.suites import beam
from support.commands import CPU, TEXT, TINY_RUN
from textgen_env.errors import UserError
from textgen_env.metrics.scores import score
from textgen_env.terminal import console


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Two students of one exact expert, and one of a teacher trained on text."""
    folder = tmp_path_factory.mktemp("runs")
    tasks = {
        "bc": ["env=Copy-v0", "env.train=200", "algorithm=bc"],
        "imitkd": ["env=Copy-v0", "env.train=200", "algorithm=imitkd"],
        "text": TEXT,
    }
    for name, words in tasks.items():
        dagger.main(cli.read("dagger", [*words, *TINY_RUN, f"out={folder / name}"]))
    return {name: folder / name for name in tasks}


@pytest.fixture
def copied(runs, tmp_path) -> Path:
    """A run folder that a test may spoil."""
    return Path(shutil.copytree(runs["text"], tmp_path / "run"))


def command(script, *words) -> str:
    """What a script says on the terminal, run in this process."""
    with pytest.MonkeyPatch.context() as patch, console.capture() as captured:
        patch.setattr(sys, "argv", [script.__name__, *map(str, words)])
        cli.run(script.main, script.__name__)
    return captured.get()


def test_the_same_student_and_teacher_get_the_same_scores_again(runs):
    folder = runs["text"]
    results = json.loads((folder / "results.json").read_text())
    run = reopen(folder, "cpu", "float32")
    config, task, student, teacher = run.config, run.task, run.student, run.teacher
    test = subset(task.splits["test"], 12)
    for who, write in (
        ("student", Decoder(student, config.evaluate.beam, "float32", "cpu")),
        ("teacher", teacher.decode),
    ):
        again = score(task.metric, generate(write, task, test), test.texts.references)
        assert again[task.metric].value == results["scores"][who][task.metric]
    assert teacher.about == results["teacher"]
    assert not student.training
    assert not any(weight.requires_grad for weight in student.parameters())


def test_an_exact_expert_comes_back_too(runs):
    run = reopen(runs["bc"], "cpu")
    source = torch.from_numpy(run.task.splits["test"].source[0])[None]
    assert run.teacher.oracle.demonstrate(source, 12).action.tolist() == source.tolist()


def test_a_run_teaches_also_where_there_is_an_exact_expert(runs):
    config = cli.read("dagger", ["env=Copy-v0", "env.train=200", f"teacher.path={runs['bc']}"])
    teacher = find_teacher(config, reopen(runs["bc"], "cpu").task, Machine("float32", "cpu"))
    assert (config.teacher.name, teacher.about["path"]) == ("exact", str(runs["bc"]))
    assert teacher.about["architecture"] == "transformer"


def spoilt(folder: Path, **changes):
    """The folder with some keys of its config.yaml changed."""
    config = OmegaConf.load(folder / "config.yaml")
    for key, value in changes.items():
        OmegaConf.update(config, key.replace("__", "."), value, force_add=True)
    OmegaConf.save(config, folder / "config.yaml")


def without(folder: Path, file: str, key: str) -> None:
    """The folder with a key of one of its files gone."""
    path = folder / file
    known = OmegaConf.to_container(OmegaConf.load(path))
    del known[key]
    path.write_text(json.dumps(known))


def another_format(folder: Path) -> None:
    """Weights as a project to come may write them."""
    path = folder / "checkpoints" / "best.safetensors"
    path.write_bytes(path.read_bytes().replace(b"textgen-env/3", b"textgen-env/4"))


def another_architecture(folder: Path) -> None:
    """Weights of a transformer with a setting that is not known."""
    path = folder / "checkpoints" / "best.safetensors"
    tensors, header = load_tensors(path)
    header["architecture"]["settings"]["experts"] = 8
    save_tensors(path, tensors, header)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "no run folder at "),
        (
            lambda folder: (folder / "results.json").unlink(),
            "holds no finished run: there is no results.json",
        ),
        (
            lambda folder: (folder / "config.yaml").unlink(),
            "holds no finished run: there is no config.yaml",
        ),
        (lambda folder: (folder / "results.json").write_text("{"), "results.json is damaged"),
        (
            lambda folder: without(folder, "results.json", "speed"),
            "another version of this project",
        ),
        (lambda folder: (folder / "config.yaml").write_text("env: [}"), "config.yaml is damaged"),
        (lambda folder: (folder / "config.yaml").write_text("- env"), "config.yaml is damaged"),
        (
            lambda folder: without(folder, "config.yaml", "evaluate"),
            "another version of this project (Missing key evaluate)",
        ),
        (
            lambda folder: without(folder, "results.json", "teacher"),
            "another version of this project",
        ),
        (lambda folder: spoilt(folder, env__name="IWSLT-v7"), "there is no env IWSLT-v7 now"),
        (lambda folder: spoilt(folder, env__beams=3), "IWSLT-v0 has no beams now"),
        (
            lambda folder: spoilt(folder, env__vocabulary="x"),
            "IWSLT-v0 has another kind of vocabulary now",
        ),
        (
            lambda folder: spoilt(folder, env__data_dir=["a"]),
            "IWSLT-v0 has another kind of data_dir now",
        ),
        (lambda folder: spoilt(folder, env__vocabulary=200), "has another vocabulary"),
        (lambda folder: spoilt(folder, env__bundled_pairs=110), "was made from another corpus"),
        (another_format, "textgen-env/3 expected, textgen-env/4 found"),
        (
            another_architecture,
            "is of another version of this project: there is no transformer with",
        ),
    ],
)
def test_a_folder_that_is_not_what_it_was_is_one_line_and_exit_code_two(spoil, message, copied):
    spoil(copied)
    with pytest.raises(UserError) as error:
        reopen(copied, "cpu")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(SystemExit, match="2"):
        command(show, f"run={copied}", *CPU)


def with_results(folder: Path, **changes) -> None:
    """The folder with some keys of its results.json changed."""
    path = folder / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


DAMAGED = {
    "torn": (lambda folder: (folder / "results.json").write_text("[1"), "Expecting"),
    "list": (lambda folder: (folder / "results.json").write_text("[1]"), "results is [1]"),
    "nested": (lambda folder: (folder / "results.json").write_text("[" * 10**5), "recursion"),
    "not UTF-8": (lambda folder: (folder / "results.json").write_bytes(b'{"env": "\xff"}'), "0xff"),
    "cost null": (lambda folder: with_results(folder, cost=None), "results.cost is null"),
    "cost without seconds": (
        lambda folder: with_results(folder, cost={"a": 1}),
        "results.cost has no seconds",
    ),
    "seconds NaN": (
        lambda folder: with_results(folder, cost={"seconds": float("nan")}),
        "results.cost.seconds is NaN",
    ),
    "speed empty": (lambda folder: with_results(folder, speed={}), "results.speed has no speedup"),
    "speed-up": (
        lambda folder: with_results(folder, speed={"speedup": "a", "precision": "float32"}),
        'speedup is "a"',
    ),
    "corpus": (lambda folder: with_results(folder, corpus="a"), 'results.corpus is "a"'),
    "scores": (
        lambda folder: with_results(folder, scores={"student": {"low": "a"}}),
        'results.scores.student.low is "a"',
    ),
    "exported": (
        lambda folder: with_results(folder, exported={"int8": [{}]}),
        "has no exported_tokens_per_second",
    ),
}


@pytest.mark.parametrize(("spoil", "why"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_results_are_one_line_wherever_they_are_read(spoil, why, copied):
    spoil(copied)
    readers = (
        lambda: reopen_student(copied, "cpu"),
        lambda: evaluation.results_before(copied),
        lambda: export.add_to_report(SimpleNamespace(folder=copied), {}),
        lambda: training_cost(str(copied)),
    )
    for read in readers:
        with pytest.raises(
            UserError,
            match=f"^{copied / 'results.json'} is damaged .*: delete it and repeat .* resume=true$",
        ) as error:
            read()
        assert why in str(error.value)


def test_the_results_of_another_script_name_no_cost(copied):
    (copied / "results.json").write_text(
        json.dumps({"trainer": "sb3_ppo", "scores": {"before": {"bleu": 1.0}}, "seconds": 2})
    )
    assert training_cost(str(copied)) is None


def test_teachers_chosen_by_another_metric_are_trained_anew():
    config = cli.read("dagger", [*TEXT, *TINY_RUN])
    on, paths = find_machine(config), []
    for tokenizer in ("13a", "char", "13a"):
        config.env.bleu_tokenizer = tokenizer
        paths.append(find_teacher(config, load_task(config), on).about["path"])
    assert paths[0] == paths[2] != paths[1]


def test_two_runs_in_one_report(runs, tmp_path):
    out = tmp_path / "bias"
    words = [
        *(f"run={runs[name]}" for name in ("bc", "imitkd")),
        "rows=60",
        "resamples=20",
        "corrupt_at=1",
        "corrupt=1",
    ]
    said = command(exposure_bias, *words, *CPU, f"out={out}")
    assert "imitkd" in said
    assert "CPU threads" in said
    results = json.loads((out / "exposure_bias.json").read_text())
    assert list(results["runs"]) == ["bc", "imitkd"]
    assert {report["sentences"] for report in results["runs"].values()} == {60}
    assert imread(out / "exposure_bias.png").shape[:2] == (1080, 1920)


@pytest.mark.parametrize(
    ("script", "words", "message"),
    [
        (exposure_bias, [], "name at least one finished run folder: run=RUN"),
        (exposure_bias, ["run=bc", "run=text"], "differ in corpus, vocabulary, limits or teacher"),
        (exposure_bias, ["run=bc", "split=tset"], "unknown split 'tset'; did you mean 'test'?"),
        (show, [], "name a finished run folder: run=RUN"),
        (show, ["run=bc", "run=imitkd"], "run is given 2 times; give it once"),
        (speed, ["run=text", "beams=[1,500]"], "beams=500: a number of at least 1 and at most "),
        (show, ["run=bc", "sentence=200"], "sentence=200: test has sentences 0 to 199"),
        (show, ["run=bc", "sentence=-1"], "sentence=-1: a number of at least 0"),
        (show, ["run=bc", "sentence=first"], "sentence=first: int expected"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(script, words, message, runs, monkeypatch):
    monkeypatch.chdir(runs["bc"].parent)
    monkeypatch.setattr(sys, "argv", [script.__name__, *words])
    with console.capture() as captured, pytest.raises(SystemExit, match="2"):
        cli.run(script.main, script.__name__)
    assert message in captured.get().split("error: ")[1]


def test_the_view_of_one_sentence_is_in_the_terminal_and_in_the_folder(runs):
    said = command(show, f"run={runs['text']}", "sentence=3", *CPU)
    page = runs["text"] / "sentence-test-3.html"
    assert f"page: {page}" in said
    source = reopen(runs["text"], "cpu").task.splits["test"].texts.sources[3]
    assert source.split()[0] in said
    assert page.read_text().count('class="step') > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["reward=blue", "algorithm=reinforce", "algorithm.cold_start=true"],
            "unknown reward 'blue'; did you mean 'bleu'?",
        ),
        (["train.schedule=cosine"], "unknown learning-rate schedule 'cosine'"),
        (
            ["teacher=transformer", "teacher.train.schedule=cosine"],
            "unknown learning-rate schedule 'cosine'",
        ),
        (["algorithm.beta=always"], "unknown beta schedule 'always'"),
        (
            ["algorithm.demonstrations=teachers"],
            "unknown demonstrations 'teachers'; did you mean 'teacher'?",
        ),
        (["algorithm=scst"], "algorithm=scst improves a student that can already generate"),
    ],
)
def test_a_mistake_in_a_setting_is_said_before_the_teachers_training(
    words, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(dagger, "find_teacher", None)
    config = cli.read("dagger", ["env=Copy-v0", "env.train=20", f"out={tmp_path / 'run'}", *words])
    with pytest.raises(UserError, match=re.escape(message)):
        dagger.main(config)
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_not_finished_neither_teaches_nor_starts_another(runs, tmp_path):
    copied = tmp_path / "run"
    shutil.copytree(runs["bc"], copied)
    (copied / "results.json").unlink()
    for key in ("init", "teacher.path"):
        config = cli.read(
            "dagger",
            [
                "env=Copy-v0",
                "env.train=20",
                *TINY_RUN,
                f"{key}={copied}",
                f"out={tmp_path / 'new'}",
            ],
        )
        with pytest.raises(
            UserError,
            match=f"^{copied} holds no .*; finish it by the run's command with resume=true out={copied}$",
        ):
            dagger.main(config)


def test_a_run_that_is_interrupted_after_its_training_says_how_to_go_on(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(dagger, "generate_outputs", interrupted)
    config = cli.read(
        "dagger", ["env=Copy-v0", "env.train=20", *TINY_RUN, f"out={tmp_path / 'run'}"]
    )
    with pytest.raises(
        Interrupted, match=f"interrupted\nresume with: .* out={tmp_path / 'run'} resume=true"
    ):
        dagger.main(config)


def test_a_student_is_there_without_its_teacher(copied, tmp_path):
    results = json.loads((copied / "results.json").read_text())
    results["teacher"]["path"] = str(tmp_path / "gone")
    (copied / "results.json").write_text(json.dumps(results))
    assert not reopen_student(copied, "cpu")[2].training
    with pytest.raises(
        UserError, match=f"its teacher, {tmp_path / 'gone'}, is gone; .* trains it again"
    ):
        reopen(copied, "cpu")


def test_bench_compares_a_runs_beam_search_with_ctranslate2(tmp_path):
    pytest.importorskip("ctranslate2")
    tiny = [word for word in TINY_RUN if not word.startswith("train.steps")]
    words = [
        "env=Copy-v0",
        "env.train=200",
        "algorithm=bc",
        "train.steps=150",
        "train.lr=0.01",
        "train.warmup=10",
    ]
    dagger.main(cli.read("dagger", [*words, *tiny, f"out={tmp_path / 'run'}"]))
    rows = list(beam.run_suite(SimpleNamespace(run=str(tmp_path / "run"), rows=12), None))
    assert {row.what for row in rows} >= {
        "beam 1, length penalty 0.0: ours",
        "beam 5, length penalty 1.0: ours",
    }
    greedy = [row for row in rows if row.what.startswith("beam 1") and ": same of " in row.what]
    assert greedy
    assert all(
        row.low == 100 for row in greedy
    )  # a student of few updates gives PAD and BOS mass, see the suite
