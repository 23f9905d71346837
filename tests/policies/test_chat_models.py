"""Hugging Face models of conversations: their inputs and losses are those of transformers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from agents.model import Model
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.pretrained import load_pretrained
from agents.policies.saving import save_files
from agents.policies.tokenizer import load_tokenizer
from support.cases import others_slow
from support.chat_templates import FAMILIES, fast_tokenizer, save_chat_model
from support.chats import conversation, exchange, write_rows
from support.corpora import error_message
from textgen_env.data.chat import Conversation
from textgen_env.data.chat_template import ChatTemplate, read_template
from textgen_env.data.scope import scoped
from textgen_env.tasks import chat
from textgen_env.tasks.task import Task
from textgen_env.types import pad as padded
from textgen_env.types import shift

OWN = ChatTemplate()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(0)
    return {name: save_chat_model(tmp_path_factory.mktemp(name), name) for name in FAMILIES}


def chat_task(policy: HuggingFacePolicy, folder: Path, rows: list[dict]) -> Task:
    path = write_rows(folder / "chat.jsonl", rows)
    with scoped(vocabulary=policy.vocabulary, template=policy.template):
        return chat.load(data=str(path), source_limit=200, horizon=40)


@pytest.mark.parametrize("family", others_slow([*FAMILIES], "gemma"))
@torch.no_grad()
def test_the_loss_equals_that_of_transformers_on_the_marked_tokens(family, models, tmp_path):
    """Left-padded prompts of several turns, whose inner EOS are seen."""
    policy = load_pretrained(str(models[family]), template=OWN)
    rows = [{"messages": conversation(i, turns=1 + i % 3)} for i in range(12)]
    split = chat_task(policy, tmp_path, rows).splits["train"]
    source, target = (torch.from_numpy(pad_rows(rows)) for rows in (split.source, split.target))
    log_probs = policy(source, shift(target)).log_softmax(-1)  # [B, T, V]
    ours = log_probs.gather(2, target[..., None])[..., 0]  # [B, T]
    tokenizer = transformers.AutoTokenizer.from_pretrained(models[family])
    model = transformers.AutoModelForCausalLM.from_pretrained(models[family])
    known = set(range(len(policy.vocabulary))) - set(policy.missing.tolist())
    shared = policy.ids[[*known]].tolist()
    for row, text in enumerate(split.texts.sources):
        answer = {"role": "assistant", "content": split.texts.references[row][0]}
        messages = [*Conversation.from_text(text).messages, answer]
        output = tokenizer.apply_chat_template(
            messages, return_dict=True, return_assistant_tokens_mask=True
        )
        ids, mask = output["input_ids"], output["assistant_masks"]
        logits = model(torch.tensor([ids])).logits[0, :-1]  # [P + T - 1, V]
        outside = [i for i in range(logits.shape[1]) if i not in shared]
        expected = logits.index_fill(1, torch.tensor(outside), -torch.inf).log_softmax(-1)
        last = len(mask) - mask[::-1].index(1)  # one after the last turn
        start = last - len(split.target[row])
        assert all(mask[start:last])
        assert not mask[start - 1]
        for step, position in enumerate(range(start, last)):
            assert torch.isclose(ours[row, step], expected[position - 1, ids[position]], atol=1e-4)


def pad_rows(rows: list[np.ndarray]) -> np.ndarray:
    return padded(rows, max(map(len, rows)))


@torch.no_grad()
def test_a_saved_model_generates_the_same_in_transformers(models, tmp_path):
    policy = load_pretrained(str(models["gemma"]), template=OWN)
    task = chat_task(policy, tmp_path, [{"messages": conversation(i)} for i in range(12)])
    model = Model.from_task(policy, "hf", {"path": str(models["gemma"])}, task)
    model.save(tmp_path / "saved")
    opened = Model.load(tmp_path / "saved")
    assert opened.text_settings.template == task.template
    question = exchange("the cat likes a man", "")[:1]
    texts = opened.generate(["the cat likes a man", json.dumps(question)])
    assert texts[0] == texts[1]
    folder = tmp_path / "saved" / "model"
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == FAMILIES["gemma"].template
    assert theirs.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids("<end_of_turn>")
    prompt = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    prompt = {name: prompt[name] for name in ("input_ids", "attention_mask")}
    output = theirs.generate(**prompt, max_new_tokens=40, do_sample=False)
    new = output[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(new, skip_special_tokens=True) == texts[0]


def test_a_base_model_needs_a_template_and_learns_one_that_is_given(models, tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    for path in models["chatml"].iterdir():
        if path.name != "chat_template.jinja":
            (folder / path.name).write_bytes(path.read_bytes())
    config = folder / "tokenizer_config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {"chat_template": None, "eos_token": "<|endoftext|>"}))
    message = error_message(load_tokenizer, str(folder), OWN)
    assert "no chat template, as usual of a base model; give one with env.template=FILE" in message
    (tmp_path / "chatml.jinja").write_text(FAMILIES["chatml"].template)
    given = read_template(str(tmp_path / "chatml.jinja"))
    policy = load_pretrained(str(folder), template=given)
    assert policy.template.names[2] == "<|im_end|>"
    save_files(policy, tmp_path / "saved")
    assert load_tokenizer(str(tmp_path / "saved"), OWN).template == policy.template
    assert load_tokenizer(str(folder)).template is None
    for option in ({"source_prefix": "a"}, {"separator": "b"}):
        assert "the chat template replaces them" in error_message(
            load_pretrained, str(folder), template=given, **option
        )


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ({"a": 1}, "chat_template is no text"),
        ([{"name": "tool_use", "template": "x"}], "no chat template"),
        ("{{ raise_exception('no') }}", "the chat template refuses it: no"),
        ("a" * 70_000, "a chat template of 70,000 characters"),
    ],
)
def test_a_malformed_template_is_refused_in_one_line(template, message, tmp_path):
    tokenizer = fast_tokenizer("chatml")
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"chat_template": template}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    error = error_message(load_tokenizer, str(tmp_path), OWN)
    assert error.startswith(f"hf:{tmp_path}: ")
    assert message in error


def test_one_of_several_templates_is_the_default(tmp_path):
    tokenizer = fast_tokenizer("llama")
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    named = [{"name": "rag", "template": "x"}]
    named.append({"name": "default", "template": FAMILIES["llama"].template})
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"chat_template": named}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    assert load_tokenizer(str(tmp_path), OWN).template.text == FAMILIES["llama"].template
