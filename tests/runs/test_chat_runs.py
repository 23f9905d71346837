"""Runs on conversations: prompts alone, prompts of the teacher, and the commands on such a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

import cli
import dagger
import generate
import score
from agents.discovery import ALGORITHM, find_algorithm, settings
from agents.runs.machine import resolve_machine
from agents.runs.references import with_references
from agents.runs.student import build_student
from agents.runs.task import build_task
from agents.runs.teacher import find_teacher
from agents.runs.training import check_settings
from cli.idle import why_idle
from support.chat_templates import save_chat_model
from support.chats import chats, exchange, write_rows
from support.commands import CPU, run_in_process
from support.corpora import error_message
from textgen_env.data.chat import Conversation
from textgen_env.types import EOS, shift

SMALL = [
    *CPU,
    *("env=Chat-v0", "env.source_limit=100", "env.horizon=12", "student.layers=1"),
    *("train.steps=2", "train.warmup=1", "train.batch_tokens=64", "train.validations=1"),
]


def hint(number: int) -> list[dict[str, str]]:
    return exchange(f"the dog sees the cat {number}", "")[:1]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A model, conversations, and prompts with a hint for the teacher."""
    torch.manual_seed(0)
    home = tmp_path_factory.mktemp("home")
    save_chat_model(home / "model", "llama")
    write_rows(home / "chat.jsonl", chats(30, turns=2))
    rows = [{"prompt": f"the cat {i} ?", "hint": hint(i)} for i in range(30)]
    write_rows(home / "prompts.jsonl", rows)
    return home


@pytest.fixture(autouse=True)
def working_directory(home, monkeypatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("TEXTGEN_CACHE", str(home / "cache"))


def read(*words: str) -> DictConfig:
    model = ["teacher.path=hf:model", "student=hf", "student.path=model"]
    return cli.read("dagger", [*SMALL, *model, *words])


def test_what_learns_from_references_is_refused_on_prompts_alone():
    config = read("env.data=prompts.jsonl")
    task = build_task(config)
    student = build_student(config, task)

    def check(algorithm: str, reward: str | None = None, **changes: object) -> None:
        values = settings(find_algorithm(algorithm), ALGORITHM) | changes
        config.algorithm, config.reward = {"name": algorithm, **values}, reward
        check_settings(config, task, student)

    for algorithm in ("bc", "imitkd_full", "word_kd", "gkd", "seqinter", "scheduled_sampling"):
        message = error_message(check, algorithm)
        assert message.startswith(f"algorithm={algorithm} learns from references, but the training")
    message = error_message(check, "grpo")
    assert message.startswith("algorithm=grpo maximizes rouge, but the training split has prompts")
    check("opd")
    check("seqkd")
    check("gkd", student_fraction=1.0)
    check("imitkd_full", beta="constant", rate=0.0)
    check("grpo", reward="expert_logprob")
    config.teacher.path = None
    assert "so no teacher can be trained on it" in error_message(check, "opd")


@torch.no_grad()
def test_the_teacher_sees_its_own_prompt_and_its_outputs_are_the_references():
    config = read("env.data=prompts.jsonl", "teacher.prompt_field=hint", "algorithm=opd")
    task, machine = build_task(config), resolve_machine(config)
    teacher = find_teacher(config, task, machine)
    train = task.splits["train"]
    rows = torch.stack([torch.tensor(source) for source in train.source[:3]])
    action = torch.tensor([[9, 8, EOS]] * 3)
    seen = teacher.oracle.log_probs(rows, shift(action))
    policy = teacher.policy.policy
    for row in range(3):
        conversation = Conversation.from_text(train.texts.sources[row])
        assert conversation.teacher_prompt == hint(int(conversation.messages[0]["content"][8:-2]))
        view = torch.tensor(train.teacher_source[row])[None]
        assert task.vocabulary.decode(view[0].tolist()).find("the dog sees") > 0
        expected = policy(view, shift(action[:1])).log_softmax(-1)
        torch.testing.assert_close(seen[row], expected[0], rtol=1e-4, atol=1e-4)
    filled = with_references(config, task, teacher, machine)
    for name in ("valid", "test"):
        split = filled.splits[name]
        lengths = {len(source) for source in split.source}
        for length in lengths:  # one batch has no padding
            index = [i for i, source in enumerate(split.source) if len(source) == length]
            batch = torch.stack([torch.tensor(split.source[i]) for i in index])
            outputs = teacher.decode(batch, task.horizon).action.tolist()
            texts = [task.vocabulary.decode(output) for output in outputs]
            assert [split.texts.references[i] for i in index] == [(text,) for text in texts]
    assert not filled.splits["train"].has_references
    config.env.turns = "every"
    assert "one such prompt, for its last turn" in error_message(build_task, config)
    config.env.turns, config.teacher.prompt_field = "last", "hunt"
    message = "prompts.jsonl:1: no column hunt, which teacher.prompt_field names; did you mean hint"
    assert message in error_message(build_task, config)


def test_the_prompt_of_the_teacher_is_a_key_of_chats_alone():
    words = ["env=Copy-v0", "teacher.prompt_field=a"]
    assert why_idle("teacher.prompt_field", cli.read("dagger", words))
    assert not why_idle("teacher.prompt_field", read("teacher.prompt_field=a"))


@pytest.mark.slow
@pytest.mark.parametrize("student", ["hf", "transformer"])
def test_a_run_generates_and_is_scored(student, home, tmp_path, without_report):
    words = [*SMALL, "env.data=chat.jsonl", "env.turns=every", "teacher.path=hf:model"]
    own = ["student=transformer", "student.width=16", "student.heads=2", "student.ffn=16"]
    words += own if student == "transformer" else ["student=hf", "student.path=model"]
    out = tmp_path / "run"
    run_in_process(dagger, *words, "algorithm=imitkd_full", f"out={out}")
    (tmp_path / "lines.txt").write_text("the cat 1 ?\n\n")
    question = [*exchange("a", "b"), {"role": "user", "content": "the cat 1 ?"}]
    write_rows(tmp_path / "rows.jsonl", [{"messages": question}, {"prompt": "the cat 1 ?"}])
    read_from = {"text": "lines.txt", "jsonl": "rows.jsonl"}
    outputs = {}
    for kind, name in read_from.items():
        target = tmp_path / f"{kind}.out"
        files = [f"input={tmp_path / name}", f"output={target}", f"format={kind}"]
        run_in_process(generate, *CPU, f"run={out}", *files)
        outputs[kind] = target.read_text().split("\n")[:-1]
    assert outputs["text"][1] == ""
    answers = [json.loads(line)["outputs"][0]["text"] for line in outputs["jsonl"]]
    assert " ".join(answers[1].splitlines()) == outputs["text"][0]
    run_in_process(score, *CPU, f"run={out}", "rows=2")
    message = run_in_process(
        generate, *CPU, f"run={out}", f"input={tmp_path / 'lines.txt'}", "format=jsonl", code=2
    )
    assert 'line 1: expected {"messages": …} or {"prompt": …}' in message
