"""A Hugging Face student beside a Hugging Face teacher with another tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import dagger
from agents.model import Model
from support.chat_templates import save_chat_model
from support.chats import chats, write_rows
from support.commands import CPU
from support.copy_runs import results, run
from support.pretrained_models import FAMILIES, copier

WORDS = ["ada", "bob", "dog", "cat", "man"]
TEXTS = [f"{a} {b}" for a in WORDS for b in WORDS]
SPLITS = ["train"] * 20 + ["valid"] * 5 + ["test"] * 5
TRAINING = [
    *("train.steps=2", "train.warmup=1", "train.batch_tokens=64", "train.validations=1"),
    *("train.validation_rows=4", "evaluate.rows=4", "evaluate.speed_rows=2", *CPU),
]
HF = ["student=hf", "student.path=student", "teacher.path=hf:teacher"]
TEXT = [
    *("env=ParallelText-v0", "env.data=data.tsv", "env.metric=chrf"),
    *("env.source_limit=30", "env.horizon=20"),
]
CHAT = ["env=Chat-v0", "env.data=data.jsonl", "env.source_limit=60", "env.horizon=10"]
REFUSED = {
    "algorithm=imitkd_full": "use a method that learns from texts (",
    "algorithm=word_kd": "use a method that learns from texts (",
    "algorithm=opd": "use a method that learns from texts (",
    "algorithm=reinforce reward=expert_logprob": "use reward=",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["text", "chat"])
def words(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command's words; the working directory has two models and data."""
    home = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    if request.param == "text":
        FAMILIES["gpt2"](home / "student")  # byte-level, beside whole words
        copier(home / "teacher", TEXTS, steps=60)
        rows = "".join(f"{s}\t{t}\t{t}\n" for s, t in zip(SPLITS, TEXTS * 2, strict=False))
        (home / "data.tsv").write_text(f"split\tde\ten\n{rows}")
    else:
        save_chat_model(home / "student", "chatml")
        save_chat_model(home / "teacher", "gemma")
        pairs = zip(SPLITS, chats(len(SPLITS)), strict=True)
        write_rows(home / "data.jsonl", [{"split": split} | row for split, row in pairs])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("TEXTGEN_CACHE", str(home / "cache"))
        patch.setattr("agents.reporting.save_report", lambda *args: None)
        yield [*(TEXT if request.param == "text" else CHAT), *HF, *TRAINING]


@pytest.mark.parametrize("setting", REFUSED)
def test_methods_that_query_tokens_are_refused_before_the_run(setting, words):
    message = run(dagger, *words, *setting.split(), "out=none", code=2)
    assert f"{setting.split()[-1]} queries the teacher token by token, but " in message
    assert REFUSED[setting] in message
    assert ("seqinter, seqkd" in message) == (
        REFUSED[setting] == "use a method that learns from texts ("
    )
    assert not Path("none").exists()


@pytest.mark.parametrize(
    "setting", ["algorithm=seqkd", "algorithm=seqinter", "algorithm=reinforce"]
)
def test_methods_that_learn_from_texts_run(setting, words):
    folder = setting.partition("=")[2]
    if "env=Chat-v0" in words and folder != "reinforce":
        pytest.skip("a chat model with random weights never ends its outputs")
    output = run(dagger, *words, setting, f"out={folder}")
    assert "teacher: exchanges texts: " in output
    found = results(folder)
    assert found["scores"].keys() == {"teacher", "student"}
    assert found["training"]["steps"] == 2
    assert len(Model.load(folder).generate(["ada bob"])) == 1
