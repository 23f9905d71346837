"""A run with LoRA: what its folder opens with, the commands that read it, and its exports."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

import agents
import cli
import dagger
import export
import generate
import score
import textgen_env
from agents.model import Model
from agents.runs.loading import load_run
from agents.training.checkpoint import load_tensors
from support.cases import others_slow
from support.commands import CPU, run_in_process
from support.exports import run_readme
from support.pretrained_models import FAMILIES
from textgen_env.data.limit import Limit
from textgen_env.errors import UserError

peft = pytest.importorskip("peft", reason="peft is not installed (extra: hf)")
import transformers  # noqa: E402

TASK = ["env=ParallelText-v0", "env.data_dir=text", "env.source_limit=24", "env.horizon=12"]
TRAINING = [
    *("algorithm=gkd", "train.steps=8", "train.batch_tokens=64", "train.lr=0.05"),
    *("train.warmup=1", "train.validations=1", "train.validation_rows=4"),
    *("evaluate.speed_rows=4", "evaluate.rows=12", *CPU),
]
STUDENTS = {
    "gpt2": ["student.path=gpt2", "student.lora.rank=4"],
    "t5": [
        "student.path=t5",
        "student.layers=1",
        "student.lora.rank=2",
        "student.lora.targets=[q,wo]",
    ],
}
AUTO = {
    "gpt2": (transformers.AutoModelForCausalLM, peft.AutoPeftModelForCausalLM),
    "t5": (transformers.AutoModelForSeq2SeqLM, peft.AutoPeftModelForSeq2SeqLM),
}


@pytest.fixture(scope="module", params=others_slow(STUDENTS.keys(), "gpt2"))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def home(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the folder ``run``; the model that it started from is gone."""
    home = tmp_path_factory.mktemp(family)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("TEXTGEN_CACHE", str(home / "cache"))
        patch.setattr("agents.reporting.save_report", lambda *args: None)
        Path("text").mkdir()
        lines = [f"the {a} sees a {b}\n" for a in ("dog", "cat", "man") for b in ("man", "cat")]
        for split in ("train", "valid", "test"):
            for suffix in ("de", "en"):
                Path(f"text/{split}.{suffix}").write_text("".join(lines * 2))
        torch.manual_seed(0)
        FAMILIES[family](Path(family))
        student = ["student=hf", *STUDENTS[family], "teacher.path=student"]
        dagger.main(cli.read("dagger", [*TASK, *student, *TRAINING, "out=run"]))
        shutil.move(family, "gone")
    return home


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(home)
    monkeypatch.setenv("TEXTGEN_CACHE", str(home / "cache"))
    monkeypatch.setattr("agents.reporting.save_report", lambda *args: None)
    return home / "run"


def logits(model, policy) -> torch.Tensor:
    """Of a transformers model, for a fixed prompt."""
    state = policy.start(torch.tensor([[9, 8, 7, 2], [6, 2, 0, 0]]), 3)
    with torch.no_grad():
        return model.eval()(**policy.model_inputs(state.prompt, state)).logits


def test_the_folder_holds_the_adapter_and_its_base(family, run):
    best, _ = load_tensors(run / "checkpoints" / "best.safetensors")
    assert all(".lora_" in name for name in best)
    policy = Model.load(run).policy
    auto, auto_peft = AUTO[family]
    expected = logits(policy.model, policy)
    model = run / "model"
    base = auto.from_pretrained(model / "base")
    assert (logits(base, policy) - expected).abs().max() > 0.01
    for opened in (
        auto.from_pretrained(model),
        auto_peft.from_pretrained(model),
        peft.PeftModel.from_pretrained(base, model),  # of a folder that was moved
    ):
        torch.testing.assert_close(logits(opened, policy), expected)
    files = (path for path in model.rglob("*") if path.is_file())
    assert len({path.stat().st_mode for path in files}) == 1
    texts = ["the dog sees a cat"]
    saved, own = (transformers.AutoTokenizer.from_pretrained(path) for path in (model, "gone"))
    assert saved(texts) == own(texts)


def test_the_base_model_is_the_teacher_of_a_loaded_run(family, run):
    loaded = load_run(run, "cpu")
    results = json.loads((run / "results.json").read_text())
    assert results["teacher"]["path"] == "student"
    student, teacher = loaded.student, loaded.teacher.policy
    base = AUTO[family][0].from_pretrained(run / "model" / "base")
    assert torch.equal(logits(base, student), logits(teacher.model, student))
    assert {w.data_ptr() for w in teacher.parameters()} < {
        w.data_ptr() for w in student.parameters()
    }


def test_generate_and_score_give_the_outputs_of_the_run(run):
    (path,) = (run / "outputs").glob("*.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    Path("source.txt").write_text("".join(f"{row['source']}\n" for row in rows))
    words = ["run=run", "input=source.txt", "output=target.txt", *CPU]
    generate.main(cli.read("generate", words))
    assert Path("target.txt").read_text() == "".join(f"{row['hypothesis']}\n" for row in rows)
    run_in_process(score, "run=run", "rows=12", "teacher=true", *CPU, "out=scored")
    results = json.loads((run / "results.json").read_text())
    for who, entry in json.loads(Path("scored/scores.json").read_text())["scores"].items():
        del entry["intervals"]
        assert entry == results["scores"][who]


def test_a_resumed_run_needs_only_its_folder(run):
    shutil.copytree(run, "longer", dirs_exist_ok=True)
    run_in_process(dagger, "out=longer", "resume=true", "train.steps=10")
    assert json.loads(Path("longer/results.json").read_text())["training"]["steps"] == 10


def test_the_merged_export_has_the_logits_of_the_student(family, run):
    export.main(cli.read("export", ["run=run", "format=merged"]))
    policy = Model.load(run).policy
    merged = AUTO[family][0].from_pretrained(run / "export-merged")
    torch.testing.assert_close(logits(merged, policy), logits(policy.model, policy))
    assert transformers.AutoTokenizer.from_pretrained(run / "export-merged").eos_token


def test_the_ctranslate2_export_generates_the_texts_of_the_student(run):
    pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed (extra: export)")
    export.main(cli.read("export", ["run=run", "rows=12", "batch_sizes=[4]", *CPU[:1]]))
    folder = run / "export-float32"
    assert json.loads((folder / "export.json").read_text())["equal"] == 12
    texts = [f"the {a} sees a {b}" for a in ("dog", "cat") for b in ("man", "")]
    outputs = run_readme(folder, "\n".join(texts).encode())
    assert outputs == Model.load(run).generate(texts)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["quantization=int8"], "quantization does not apply"),
        (["out=text"], "out=text is not empty and is not a model"),
    ],
)
def test_a_merged_export_is_refused_in_one_line(words, message, run):
    with pytest.raises(UserError, match=message):
        export.main(cli.read_given("export", ["run=run", "format=merged", *words]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["student.lora.targets=[q]"], "student.lora.targets does not apply: only student.lora.ra"),
        (["student.lora.rank=0"], "student.lora.rank=0"),
        (["student.lora.rang=2"], "did you mean 'student.lora.rank'"),
    ],
)
def test_keys_of_the_adapter_are_checked(words, message):
    with pytest.raises(UserError, match=re.escape(message)):
        cli.read_given("dagger", ["student=hf", "student.path=x", *words])


def test_in_python_the_base_model_teaches_too(run, tmp_path):
    pairs = [(text, text) for text in ("the dog", "a cat", "the man sees a cat")]
    splits = dict.fromkeys(("train", "valid", "test"), pairs)
    limits = {"source_limit": 32, "limit": Limit(24)}
    task = textgen_env.task_from_pairs(splits, 300, **limits)
    student = agents.HuggingFace(task, "gone", lora={"rank": 2, "targets": ["all-linear"]})
    task = task.with_vocabulary(student.vocabulary)
    settings = {"steps": 2, "lr": 0.1, "warmup": 1, "validations": 1, "log": False}
    agents.distill("student", student, task, algorithm="gkd", **settings)
    student.save(tmp_path / "saved")
    texts = ["the dog", "a man"]
    assert agents.load(tmp_path / "saved").generate(texts) == student.generate(texts)


def test_a_student_without_adapter_is_no_teacher_of_itself(run):
    words = [*TASK, "student=hf", "student.path=gone", "teacher.path=student", "out=new"]
    with pytest.raises(UserError, match="the student has no adapter"):
        dagger.main(cli.read("dagger", [*words, *TRAINING]))
