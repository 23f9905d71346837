"""``generate.py``: lines in, lines out, in order, whatever the chunks."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys

import pytest

import cli
import generate
from agents.model import Model, build_policy
from support.commands import command, environment
from support.pretrained_models import FAMILIES
from textgen_env.errors import UserError
from textgen_env.tasks.copy import load
from textgen_env.terminal import console

LINES = ["a b c", "", "h g f e d", "  ", "a", "b b b b"]
CPU = ["device=cpu", "precision=float32"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A saved model with random weights; a GRU that rarely ends early."""
    path, task = tmp_path_factory.mktemp("model"), load(train=20, valid=5, test=5)
    settings = {"width": 16, "encoder_width": 16, "embedding": 16}
    policy = build_policy("gru", settings, task.vocabulary, seed=1)
    policy.eval()
    Model.from_task(policy, "gru", settings, task).save(path)
    return path


@pytest.fixture
def outputs(folder, tmp_path):
    """The output lines for some input lines and overrides."""

    def run(*overrides, lines=LINES, model=folder):
        source, target = tmp_path / "source.txt", tmp_path / "target.txt"
        source.write_text("".join(f"{line}\n" for line in lines))
        words = [f"run={model}", f"input={source}", f"output={target}", *CPU, *overrides]
        generate.main(cli.read("generate", words))
        return target.read_text().split("\n")[:-1]

    return run


@pytest.mark.parametrize("beam", [1, 3])
def test_every_line_gets_the_output_of_the_model_and_blank_lines_stay_blank(folder, outputs, beam):
    expected = iter(
        Model.load(folder).generate([line for line in LINES if line.strip()], beam=beam)
    )
    assert outputs(f"beam={beam}") == [next(expected) if line.strip() else "" for line in LINES]


@pytest.mark.parametrize("search", [["beam=2", "keep=2"], ["samples=3", "top_k=4", "seed=5"]])
def test_outputs_do_not_depend_on_the_chunks(outputs, search):
    whole, single = (
        [json.loads(line) for line in outputs("format=jsonl", f"lines={lines}", *search)]
        for lines in (1000, 1)
    )
    assert [record["source"] for record in whole] == LINES
    for record, other in zip(whole, single, strict=True):
        hypotheses, others = record["outputs"], other["outputs"]
        assert [row["text"] for row in hypotheses] == [row["text"] for row in others]
        scores = [row["score"] for row in others]
        assert [row["score"] for row in hypotheses] == pytest.approx(scores, abs=1e-3)
        assert 1 <= len(hypotheses) <= (int(search[0][-1]) if record["source"].strip() else 1)


def test_hypotheses_of_a_beam_are_ranked_and_samples_differ_by_seed(outputs):
    for record in map(json.loads, outputs("format=jsonl", "beam=3", "keep=3", "length_penalty=0")):
        scores = [output["score"] for output in record["outputs"]]
        assert scores == sorted(scores, reverse=True)
    assert outputs("samples=1", "seed=1") != outputs("samples=1", "seed=2")
    assert outputs("samples=1", "top_k=1") == outputs()


def test_an_overlong_line_is_truncated_with_a_warning_that_names_it(outputs):
    with console.capture() as captured:
        (first, second) = outputs(lines=["a b", "c " * 30])
    assert "line 2: truncated from 31 to 9 tokens" in captured.get()
    assert second == outputs(lines=["c " * 8])[0]
    assert first == outputs(lines=["a b"])[0]


def test_standard_input_and_output_are_the_default(folder, outputs, monkeypatch, capsys):
    data = "".join(f"{line}\r\n" for line in LINES).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    generate.main(cli.read("generate", [f"run={folder}", *CPU]))
    assert capsys.readouterr().out.split("\n")[:-1] == outputs()


def test_input_that_is_not_utf_8_is_refused_with_its_line(folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\n\xff\n")))
    with pytest.raises(UserError, match="standard input:2: not UTF-8"):
        generate.main(cli.read("generate", [f"run={folder}", *CPU]))


def test_a_gzip_file_is_read(folder, tmp_path, capsys, outputs):
    with gzip.open(tmp_path / "source.gz", "wt") as file:
        file.write("".join(f"{line}\n" for line in LINES))
    words = [f"run={folder}", f"input={tmp_path / 'source.gz'}", *CPU]
    generate.main(cli.read("generate", words))
    assert capsys.readouterr().out.split("\n")[:-1] == outputs()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["format=xml"], "format.*xml"),
        (["beam=2", "keep=2"], "format=text has one output per line, not 2"),
        (["beam=2", "samples=2", "format=jsonl"], "give one of them"),
        (["keep=2", "format=jsonl"], "keep=2: beam=1 has 1; raise beam="),
        (["beam=900"], "beam=900"),
    ],
)
def test_mistakes_are_one_line(outputs, overrides, message):
    with pytest.raises(UserError, match=message):
        outputs(*overrides)


@pytest.mark.parametrize("family", ["marian", "gpt2"])
def test_a_pretrained_model_generates_without_a_run(family, tmp_path, outputs):
    pytest.importorskip("transformers")
    model = FAMILIES[family](tmp_path / family)
    lines = outputs("horizon=5", lines=["the cat", "", "a man sees the dog"], model=f"hf:{model}")
    assert len(lines) == 3
    assert lines[1] == ""


def test_the_input_is_never_overwritten(folder, tmp_path):
    source, target = tmp_path / "source.txt", tmp_path / "target.txt"
    source.write_text("a b\n")
    target.write_text("an earlier output\n")
    for words in ([f"input={source}", f"output={source}"], ["input=none", f"output={target}"]):
        with pytest.raises(UserError):
            generate.main(cli.read("generate", [f"run={folder}", *words, *CPU]))
    assert source.read_text() == "a b\n"
    assert target.read_text() == "an earlier output\n"


@pytest.mark.parametrize("word", ["seed=3", "top_k=3", "horizon=5", "source_prefix=x", "keep=1"])
def test_a_key_that_changes_nothing_is_refused(folder, word):
    with pytest.raises(UserError, match=f"{word.partition('=')[0]} does not apply"):
        cli.read_given("generate", [f"run={folder}", word])
    if word in ("seed=3", "top_k=3"):
        cli.read_given("generate", [f"run={folder}", "samples=2", "format=jsonl", word])
    elif word != "keep=1":
        cli.read_given("generate", ["run=hf:model", word])


def test_a_reader_that_stops_early_is_no_error(folder, tmp_path):
    writer = command("generate.py", f"run={folder}", "lines=1", *CPU)
    lines = "".join(f"{line}\n" for line in LINES) * 50
    with subprocess.Popen(
        writer,
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.close()
        _, stderr = process.communicate(lines)
    assert process.returncode == 0
    assert "Broken" not in stderr
