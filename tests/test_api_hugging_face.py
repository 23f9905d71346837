"""The library in Python with Hugging Face models as students."""

from __future__ import annotations

import copy
import re
import shlex
import shutil
from itertools import product
from pathlib import Path

import pytest
import torch
import transformers

import agents
import dagger
import score
from support.commands import CPU, run_in_process
from support.pretrained_models import FAMILIES
from support.tiny import tiny_task
from textgen_env.errors import UserError

QUICK = {"steps": 2, "validations": 1, "batch_tokens": 64, "precision": "float32", "log": False}
TEXTS = ["der hund sieht die katze", "ein mann"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    return FAMILIES["marian"](tmp_path_factory.mktemp("marian"))


def positions(model):
    """The sinusoids of a Marian, which are never trained."""
    return {
        name: weight.clone()
        for name, weight in model.policy.named_parameters()
        if "embed_positions" in name
    }


def test_distill_save_load(folder, tmp_path):
    """The task keeps its own tokens; those of the model are used for it."""
    task = tiny_task()
    teacher = agents.load(f"hf:{folder}")
    student = agents.HuggingFace(task, str(folder), layers=1, decoder_layers=1)
    assert student.trained
    before = copy.deepcopy(student.policy.state_dict())
    sinusoids = positions(student)
    assert agents.distill(teacher, student, task, "imitkd_full", **QUICK) is student
    changed = [name for name in before if not before[name].equal(student.policy.state_dict()[name])]
    assert changed
    assert all(weight.equal(positions(student)[name]) for name, weight in sinusoids.items())
    texts = student.generate(TEXTS)
    student.save(tmp_path)
    again = agents.load(tmp_path)
    assert again.generate(TEXTS) == texts
    assert again.vocabulary.fingerprint != task.vocabulary.fingerprint
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "model")
    for name, weight in model.named_parameters():
        assert weight.equal(again.policy.model.get_parameter(name))
    assert agents.evaluate(student, task)["bleu"].value >= 0


def test_a_loaded_model_is_trained_further(folder, tmp_path):
    task = tiny_task()
    model = agents.load(f"hf:{folder}", source_limit=40, horizon=20)
    agents.train(model, task, "mle", folder=tmp_path, **QUICK)
    assert agents.load(tmp_path).generate(TEXTS) == model.generate(TEXTS)
    assert (tmp_path / "model" / "model.safetensors").is_file()
    longer = agents.load(tmp_path)
    agents.train(longer, task, "scst", reward="chrf", **QUICK)
    assert longer.trained


def test_mistakes(folder):
    task = tiny_task()
    student = agents.HuggingFace(task, str(folder), init="random")
    assert not student.trained
    own = agents.Transformer(task, layers=1, width=16, heads=2, ffn=16)
    with pytest.raises(UserError, match=r"the teacher's vocabulary .19 tokens"):
        agents.distill(own, student, task, **QUICK)
    with pytest.raises(UserError, match="layers=9: it has 2"):
        agents.HuggingFace(task, str(folder), layers=9)
    with pytest.raises(UserError, match="unknown setting of hf 'width'"):
        agents.HuggingFace(task, str(folder), width=9)
    with pytest.raises(UserError, match="no such folder"):
        agents.HuggingFace(task, "./nowhere")


@pytest.mark.slow
def test_the_lines_of_the_documentation(folder, tmp_path, monkeypatch):
    """docs/huggingface.md: as they stand, with a tiny model and fewer steps and layers."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, "MODEL")
    shutil.copytree(folder, "LARGER")
    Path("TEXT").mkdir()
    for split, suffix in product(("train", "valid", "test"), ("de", "en")):
        lines = [f"ein mann hört die katze {number % 3}\n" for number in range(20)]
        Path("TEXT", f"{split}.{suffix}").write_text("".join(lines))
    text = (Path(__file__).parents[1] / "docs" / "huggingface.md").read_text()
    shells = re.findall("```sh\n(.*?)```", text, re.DOTALL)
    small = ["train.steps=2", "train.validations=1", "evaluate.rows=12", "evaluate.speed_rows=4"]
    outputs = iter(["out=RUN", "out=LORA"])
    for line in commands("\n".join(shells)):
        _python, script, *words = shlex.split(line.replace("layers=3", "layers=1"))
        if "env=" in line and "dagger" in script:
            run_in_process(dagger, *words, *small, *CPU, next(outputs))
        elif "generate" not in script:
            words = [word.replace("5000", "3") for word in words]
            run_in_process({"dagger": dagger, "score": score}[Path(script).stem], *words)
    for block in re.findall("```python\n(.*?)```", text, re.DOTALL):
        code = block.replace("layers=3", "layers=1").replace("steps=2000", "**QUICK")
        # the tokenizer of the tiny model has no class of its own
        code = code.replace('"pt"', '"pt", return_token_type_ids=False')
        exec(code, {"QUICK": QUICK})


def commands(text):
    """The lines of a shell script that call Python, without pipes and line continuations."""
    joined = text.replace("\\\n", " ")
    return [line[line.index("python") :] for line in joined.splitlines() if "python" in line]
