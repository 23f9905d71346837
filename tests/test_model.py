"""A model generates what its run evaluated, and the same after it was saved and loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
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

OVERRIDES = [
    *("env=ParallelText-v0", "env.unescape=true", "env.lowercase=true"),
    *("env.vocabulary=80", "env.limit_ratio=1.5", "env.limit_offset=3"),
    *("teacher.layers=1", "teacher.width=16", "teacher.heads=2", "teacher.ffn=16"),
    *("teacher.train.steps=2", "teacher.train.validations=1"),
    *("teacher.train.validation_rows=4", "teacher.train.batch_tokens=128"),
    *("student.layers=1", "student.width=16", "student.heads=2", "student.ffn=16"),
    *("train.steps=30", "train.validations=1", "train.validation_rows=4"),
    *("train.batch_tokens=256", "algorithm=bc", "device=cpu", "precision=float32"),
    *("evaluate.speed_rows=2", "evaluate.rows=8"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Holds ``run``, whose corpus of raw text, with escapes and capitals, was moved away."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "text").mkdir()
    for split, count in (("train", 60), ("valid", 6), ("test", 8)):
        for suffix, start in (("de", "Ein Wort &amp; Nummer"), ("en", "A word &amp; number")):
            lines = [f"{start} {number}  {'wort ' * (number % 5)}" for number in range(count)]
            (folder / "text" / f"{split}.{suffix}").write_text("\n".join(lines) + "\n")
    overrides = [*OVERRIDES, f"env.data_dir={folder / 'text'}", f"out={folder / 'run'}"]
    dagger.main(cli.read("dagger", overrides))
    (folder / "text").rename(folder / "moved")
    return folder


@pytest.fixture
def run(folder: Path) -> Path:
    return folder / "run"


@pytest.fixture
def texts(folder: Path) -> list[str]:
    """The raw test sources."""
    return (folder / "moved" / "test.de").read_text().splitlines()


def test_a_model_generates_what_its_run_evaluated_without_the_corpus(run, texts):
    (path,) = (run / "outputs").glob("*.json")
    assert Model.load(run).generate(texts) == load_json(path)["texts"]


def test_a_saved_model_is_the_same_when_loaded(run, texts, tmp_path):
    model = Model.load(run)
    model.save(tmp_path / "copy")
    loaded = Model.load(tmp_path / "copy")
    assert loaded.generate(texts) == model.generate(texts)
    search = {"beam": 3, "length_penalty": 0.5}
    assert loaded.generate(texts, **search) == model.generate(texts, **search)
    assert loaded.text_settings == model.text_settings
    assert loaded.architecture == model.architecture
    expected = model.policy.state_dict()
    for name, weight in loaded.policy.state_dict().items():
        assert torch.equal(weight, expected[name])
    files = {path.name for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert files == {"best.safetensors", "vocabulary.json"}


@pytest.mark.parametrize("beam", [1, 3])
def test_an_output_does_not_depend_on_the_other_texts(run, texts, beam):
    model = Model.load(run)
    outputs = model.generate(texts, beam)
    assert outputs == [model.generate([text], beam)[0] for text in texts]
    assert outputs[::-1] == model.generate(texts[::-1], beam)
    assert model.generate([], beam) == []


def test_long_texts_are_truncated_and_outputs_end_at_their_limit(run):
    model = Model.load(run)
    model.text_settings = model.text_settings._replace(limit=Limit(4), source_limit=5)
    long = "wort " * 500
    assert model.generate([long]) == model.generate([long + "wort"])
    assert all(len(model.vocabulary.encode(text)) <= 4 for text in model.generate([long, "wort"]))


def test_a_single_string_is_rejected(run):
    with pytest.raises(UserError, match=r"expects a list of texts .* pass \[text\]"):
        Model.load(run).generate("wort")


def test_text_is_normalized_as_the_corpus_was():
    preprocessing = Preprocessing(unescape=True, split_marks=True, lowercase=True)
    settings = TextSettings(preprocessing, 10, Limit(9))
    assert settings.normalize(" Das &amp;  re ##AT##-##AT## elect\n") == "das & re - elect"
    plain = TextSettings(Preprocessing(), 10, Limit(9))
    assert plain.normalize(" Das &amp;  X.\t") == "Das &amp; X."
    assert TextSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def header(**changes: object) -> Callable[[Path], None]:
    """Change the header of the checkpoint."""

    def change(folder: Path) -> None:
        path = folder / "checkpoints" / "best.safetensors"
        tensors, before = load_tensors(path)
        save_tensors(path, tensors, before | changes)

    return change


def text_header(**changes: object) -> Callable[[Path], None]:
    return header(text=TextSettings(Preprocessing(), 10, Limit(9)).to_json() | changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "vocabulary.json").unlink(), "vocabulary.json"),
        (lambda folder: (folder / "vocabulary.json").write_text("{"), "vocabulary.json"),
        (lambda folder: shutil.rmtree(folder / "checkpoints"), "no checkpoint at "),
        (
            lambda folder: (folder / "checkpoints" / "best.safetensors").write_bytes(b"x"),
            "truncated",
        ),
        (header(text=None), "no valid text settings"),
        (text_header(source_limit="10"), "no valid text settings"),
        (text_header(limit={"horizon": 0}), "no valid text settings"),
        (text_header(limit=[1]), "no valid text settings"),
        (text_header(preprocessing={"lower": True}), "no valid text settings"),
        (header(vocabulary="0" * 16), "was trained with vocabulary 0000000000000000"),
        (header(architecture={"name": "cnn", "settings": {}}), "there is no cnn"),
        (header(architecture=None), "has no policy metadata"),
    ],
)
def test_errors_of_unusable_folders_are_one_line(change, message, run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    change(folder)
    with pytest.raises(UserError) as error:
        Model.load(folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
