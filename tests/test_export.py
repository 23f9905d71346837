"""The exported student is the student: the same tokens, by the note that ships with it too."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

import command_line
import dagger
import export as script
from agents.decoding import greedy
from agents.policies.rnn import RNN
from agents.policies.transformer import Transformer
from textgen_env.errors import UserError
from textgen_env.types import BOS, EOS, PAD, UNK
from textgen_env.vocabulary import Vocabulary

pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed (extra: export)")
from agents import export

WORDS, LIMIT, HORIZON = Vocabulary.words([f"w{i}" for i in range(40)]), 12, 15
SHAPES = {
    "one embedding, more decoder layers": {"layers": 1, "decoder_layers": 2, "share_source_embedding": True},
    "two embeddings, more encoder layers": {"layers": 2, "decoder_layers": 1},
}


def student(**shape) -> Transformer:
    """Random in every weight, biases and norms too."""
    generator = torch.Generator().manual_seed(3)
    policy = Transformer(len(WORDS), width=16, heads=4, ffn=24, generator=generator, **shape).eval().requires_grad_(False)
    for weight in policy.parameters():
        weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.1)
    policy.decoder_norm.weight.normal_(generator=generator)  # else a tied output repeats what came in
    policy.decoder_norm.bias.add_(policy.target_embedding[EOS], alpha=6)  # else it hardly ever ends
    for layer in policy.decoder:
        layer.cross_output.weight *= 3  # else the source hardly matters
    return policy


def sources(rows: int) -> Tensor:
    """Of 2 to LIMIT tokens; UNK among them."""
    generator = torch.Generator().manual_seed(4)
    length = torch.randint(2, LIMIT + 1, (rows, 1), generator=generator)
    tokens = torch.randint(UNK, len(WORDS), (rows, LIMIT), generator=generator)
    return tokens.masked_fill(torch.arange(LIMIT) >= length, PAD).scatter(1, length - 1, EOS)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_five_hundred_sentences_come_out_token_for_token(shape, tmp_path):
    policy, source = student(**shape), sources(500)
    export.export(policy, WORDS, tmp_path / "model", "float32", LIMIT, HORIZON)
    ours = greedy(policy, source, HORIZON)
    theirs = export.writer(tmp_path / "model", WORDS, batch_size=64, workers=2)(source, HORIZON)
    assert torch.equal(ours.action, theirs.action)
    assert torch.equal(ours.length, theirs.length)
    ended = (ours.action == EOS).any(1)
    assert 0.01 < ended.float().mean() < 0.99, "both ways to end an episode must occur"
    assert len(ours.action.unique(dim=0)) > 200, "a student that always writes the same shows nothing"


def test_eight_bits_change_little_and_take_less(tmp_path):
    policy, source = student(layers=2), sources(200)
    for name in ("float32", "int8"):
        export.export(policy, WORDS, tmp_path / name, name, LIMIT, HORIZON)
    ours = greedy(policy, source, HORIZON)
    theirs = export.writer(tmp_path / "int8", WORDS)(source, HORIZON)
    first = (ours.action[:, 0] == theirs.action[:, 0]).float().mean()
    by_chance = (ours.action[:, 0] == ours.action[:, 0].roll(1)).float().mean()
    assert first > (1 + by_chance) / 2, "a processor without products of 8 bits rounds coarsely, but not like this"
    assert not torch.equal(ours.action[:, :3], theirs.action[:, :3])
    sizes = [(tmp_path / name / "model.bin").stat().st_size for name in ("int8", "float32")]
    assert sizes[0] < 0.8 * sizes[1]


def test_what_our_decoders_never_write_it_does_not_write_either(tmp_path):
    policy, source = student(layers=1), sources(50)
    policy.decoder_norm.bias.fill_(3.0)
    policy.target_embedding[[PAD, BOS]] = 1.0  # their logits are far above all others
    assert set(policy(source, source[:, :1]).argmax(-1).unique().tolist()) <= {PAD, BOS}
    export.export(policy, WORDS, tmp_path / "model", "float32", LIMIT, HORIZON)
    theirs = export.writer(tmp_path / "model", WORDS)(source, HORIZON)
    assert torch.equal(greedy(policy, source, HORIZON).action, theirs.action)


def test_the_note_runs_as_it_stands(tmp_path, capsys):
    policy = student(layers=1)
    folder = tmp_path / "model"
    export.export(policy, WORDS, folder, "float32", LIMIT, HORIZON)
    note = (folder / "README.md").read_text()
    code = "\n".join(re.findall(r"^    (.*)$", note, re.MULTILINE))
    texts = ["w1 w2 w3", "w1 </s> w2", "never seen", " ".join(["w7"] * 30)]
    exec(code, {"texts": texts})
    ids = [torch.tensor([*WORDS.encode(text)[: LIMIT - 1], EOS]) for text in texts]
    ours = greedy(policy, pad_sequence(ids, batch_first=True), HORIZON)
    assert capsys.readouterr().out.splitlines() == [WORDS.decode(row) for row in ours.action.tolist()]


def test_a_second_export_takes_the_place_of_the_first(tmp_path):
    folder, policy, source = tmp_path / "model", student(layers=1), sources(20)
    export.export(policy, WORDS, folder, "int8", LIMIT, HORIZON)
    (folder / "thesis.tex").touch()
    export.export(policy, WORDS, folder, "float32", LIMIT, HORIZON)
    names = {"model.bin", "config.json", "shared_vocabulary.json", "tokenizer.json", "README.md", "thesis.tex"}
    assert {path.name for path in folder.iterdir()} == names
    assert torch.equal(greedy(policy, source, HORIZON).action, export.writer(folder, WORDS)(source, HORIZON).action)
    with pytest.raises(UserError, match="cannot write"):
        export.export(policy, WORDS, folder / "README.md" / "model", "int8", LIMIT, HORIZON)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UserError, match=f"^out={tmp_path} is not empty and holds no exported model"):
        export.export(student(layers=1), WORDS, tmp_path, "float32", LIMIT, HORIZON)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_what_cannot_be_exported_is_said_in_a_line(tmp_path):
    recurrent = RNN(len(WORDS), generator=torch.Generator().manual_seed(0))
    for policy, quantization, message in (
        (recurrent, "int8", "runs transformers and has no RNN"),
        (student(), "int9", "unknown quantization 'int9'; did you mean 'int8'"),
        (student(), "float16", "quantization=float16: CTranslate2 has no such arithmetic on this processor"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            export.export(policy, WORDS, tmp_path / "model", quantization, LIMIT, HORIZON)
    assert not list(tmp_path.iterdir())


RUN = ["env=Copy-v0", "env.train=300", "student.layers=1", "student.width=16", "student.heads=2", "student.ffn=16"]
RUN += ["train.steps=20", "train.validations=1", "train.batch_tokens=64", "evaluate.rows=8", "evaluate.speed_rows=8"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, hardly trained."""
    folder = tmp_path_factory.mktemp("run") / "run"
    dagger.main(command_line.read("dagger", [*RUN, f"out={folder}"]))
    return folder


def test_the_command_compares_the_model_with_the_run(run, tmp_path, capsys):
    script.main(command_line.read("export", [f"run={run}", "rows=20", f"out={tmp_path / 'model'}"]))
    assert "processor threads" in capsys.readouterr().err
    found = json.loads((tmp_path / "model" / "export.json").read_text())
    assert found["equal"] == found["settings"]["rows"] == 20
    assert found["scores"]["exported"] == found["scores"]["student"]
    assert [row["batch_size"] for row in found["speeds"]] == [1, 64]
    assert all(row["exported_tokens_per_second"] > 0 for row in found["speeds"])
    dagger.main(command_line.read("dagger", [*RUN, f"out={run}", "resume=true"]))  # finished before: nothing gets lost
    assert [row["batch_size"] for row in json.loads((run / "results.json").read_text())["exported"]["float32"]] == [1, 64]
    page = (run / "report.html").read_text()
    assert all(f"Exported in float32, greedy, batch {size}" in page for size in (1, 64))


def test_a_report_whose_texts_are_gone_stays_as_it_is(run, tmp_path):
    (texts,) = (run / "outputs").iterdir()
    hidden, before = texts.rename(tmp_path / "away"), (run / "report.html").read_bytes()
    try:
        script.main(command_line.read("export", [f"run={run}", "rows=4", "quantization=int8", f"out={tmp_path / 'model'}"]))
        assert (tmp_path / "model" / "export.json").is_file()
        assert "int8" not in json.loads((run / "results.json").read_text()).get("exported", {})
        assert (run / "report.html").read_bytes() == before
    finally:
        hidden.rename(texts)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give run=RUN"),
        (["run=nowhere"], "no run folder at nowhere"),
        (["run=.", "format=onnx"], "unknown format 'onnx'"),
        (["run=.", "quantization=int9"], "unknown quantization 'int9'"),
    ],
)
def test_a_mistake_is_one_line(words, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        script.main(command_line.read("export", words))
    assert "\n" not in str(error.value)


def test_a_run_that_lost_its_student_is_refused(run):
    best = run / "checkpoints" / "best.safetensors"
    hidden = best.rename(best.with_suffix(".away"))
    try:
        with pytest.raises(UserError, match="no checkpoint at"):
            script.main(command_line.read("export", [f"run={run}"]))
    finally:
        hidden.rename(best)


def test_without_the_library_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    monkeypatch.delitem(sys.modules, "agents.export")
    monkeypatch.delattr("agents.export")
    with pytest.raises(UserError, match=re.escape("ctranslate2 is not installed: python -m pip install")):
        script.main(command_line.read("export", ["run=."]))
