"""A model: text in, text out, the same as in its run's evaluation, and the same after it was saved and loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import cli
import dagger
from agents.model import Model
from agents.text import TextSettings
from agents.training.checkpoint import load_tensors, save_tensors
from textgen_env.data.corpus import Preprocessing
from textgen_env.data.files import load_json
from textgen_env.data.limit import Limit
from textgen_env.errors import UserError

SIZES = [
    *(
        "student.layers=1",
        "student.width=16",
        "student.heads=2",
        "student.ffn=16",
        "device=cpu",
        "precision=float32",
    ),
    *("train.steps=30", "train.validations=1", "train.batch_tokens=256", "train.validation_rows=4"),
    *("evaluate.speed_rows=2", "evaluate.rows=8", "algorithm=bc"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The run folder of a student of a folder of raw text, with escapes and capitals, which is gone afterwards."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "text").mkdir()
    for split, count in (("train", 60), ("valid", 6), ("test", 8)):
        source = [
            f"Ein Wort &amp; Nummer {number}  {'wort ' * (number % 5)}" for number in range(count)
        ]
        target = [
            f"A word &amp; number {number} {'word ' * (number % 5)}" for number in range(count)
        ]
        (folder / "text" / f"{split}.de").write_text("\n".join(source) + "\n")
        (folder / "text" / f"{split}.en").write_text("\n".join(target) + "\n")
    words = [
        "env=ParallelText-v0",
        f"env.data_dir={folder / 'text'}",
        "env.unescape=true",
        "env.lowercase=true",
    ]
    words += ["env.vocabulary=80", "env.limit_ratio=1.5", "env.limit_offset=3"]
    words += [
        "teacher.layers=1",
        "teacher.width=16",
        "teacher.heads=2",
        "teacher.ffn=16",
        "teacher.train.steps=2",
    ]
    words += [
        "teacher.train.validations=1",
        "teacher.train.validation_rows=4",
        "teacher.train.batch_tokens=128",
    ]
    dagger.main(cli.read("dagger", [*words, *SIZES, f"out={folder / 'run'}"]))
    (folder / "text").rename(folder / "moved")
    return folder / "run"


@pytest.fixture
def raw(run) -> list[str]:
    """The test sources as they stand in the file."""
    return (run.parent / "moved" / "test.de").read_text().splitlines()


def test_it_generates_what_its_run_evaluated_without_the_corpus(run, raw):
    (path,) = (run / "outputs").glob("*.json")
    assert Model.load(run).generate(raw) == load_json(path)["texts"]


def test_a_saved_model_is_the_same_loaded(run, raw, tmp_path):
    model = Model.load(run)
    model.save(tmp_path / "copy")
    again = Model.load(tmp_path / "copy")
    assert again.generate(raw) == model.generate(raw)
    assert again.generate(raw, beam=3, length_penalty=0.5) == model.generate(
        raw, beam=3, length_penalty=0.5
    )
    assert (again.text_settings, again.architecture) == (model.text_settings, model.architecture)
    weights = model.policy.state_dict()
    assert all(
        torch.equal(tensor, weights[name]) for name, tensor in again.policy.state_dict().items()
    )
    assert {path.name for path in (tmp_path / "copy").rglob("*") if path.is_file()} == {
        "best.safetensors",
        "vocabulary.json",
    }


@pytest.mark.parametrize("beam", [1, 3])
def test_texts_together_get_what_each_gets_alone(run, raw, beam):
    model = Model.load(run)
    assert model.generate(raw, beam) == [model.generate([text], beam)[0] for text in raw]
    assert model.generate(raw[::-1], beam) == model.generate(raw, beam)[::-1]
    assert model.generate([], beam) == []


def test_a_long_text_is_cut_and_an_output_ends_at_its_limit(run):
    model = Model.load(run)
    model.text_settings = model.text_settings._replace(limit=Limit(4), source_limit=5)
    long = "wort " * 500
    assert model.generate([long]) == model.generate([long + "wort"])
    assert all(len(model.vocabulary.encode(text)) <= 4 for text in model.generate([long, "wort"]))


def test_text_is_normalized_as_the_corpus_was():
    every = TextSettings(
        Preprocessing(unescape=True, split_marks=True, lowercase=True), 10, Limit(9)
    )
    assert every.normalize(" Das &amp;  re ##AT##-##AT## elect\n") == "das & re - elect"
    assert (
        TextSettings(Preprocessing(), 10, Limit(9)).normalize(" Das &amp;  X.\t") == "Das &amp; X."
    )
    assert TextSettings.from_json(json.loads(json.dumps(every.to_json()))) == every


def changed(folder: Path, **header) -> None:
    path = folder / "checkpoints" / "best.safetensors"
    tensors, before = load_tensors(path)
    save_tensors(path, tensors, before | header)


RULES = TextSettings(Preprocessing(), 10, Limit(9)).to_json()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "vocabulary.json").unlink(), "vocabulary.json"),
        (lambda folder: (folder / "vocabulary.json").write_text("{"), "vocabulary.json"),
        (
            lambda folder: (folder / "checkpoints" / "best.safetensors").unlink(),
            "no checkpoint at ",
        ),
        (
            lambda folder: (folder / "checkpoints" / "best.safetensors").write_bytes(b"x"),
            "truncated",
        ),
        (lambda folder: changed(folder, text=None), "no valid text settings"),
        (
            lambda folder: changed(folder, text=RULES | {"source_limit": "10"}),
            "no valid text settings",
        ),
        (
            lambda folder: changed(folder, text=RULES | {"limit": {"horizon": 0}}),
            "no valid text settings",
        ),
        (
            lambda folder: changed(folder, text=RULES | {"limit": [1]}),
            "no valid text settings",
        ),
        (
            lambda folder: changed(folder, text=RULES | {"preprocessing": {"lower": True}}),
            "no valid text settings",
        ),
        (lambda folder: changed(folder, vocabulary="0" * 16), "was trained with vocabulary"),
        (
            lambda folder: changed(folder, architecture={"name": "cnn", "settings": {}}),
            "there is no cnn",
        ),
    ],
)
def test_a_folder_that_holds_no_model_is_one_line(spoil, message, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    spoil(tmp_path / "run")
    with pytest.raises(UserError) as error:
        Model.load(tmp_path / "run")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
