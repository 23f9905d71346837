"""A Hugging Face student in CTranslate2 generates the same tokens as in torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from torch.nn.utils.rnn import pad_sequence

from agents.generation.decoding import greedy
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.pretrained import load_pretrained
from agents.text import TextSettings
from support.cases import others_slow
from support.chat_templates import save_chat_model
from support.chats import CONTEXT, conversation
from support.exports import HORIZON, TASK, run_readme
from support.pretrained_models import FAMILIES, LINES, SMALL, save, unigram
from textgen_env.data.chat import Conversation
from textgen_env.data.chat_template import ChatTemplate
from textgen_env.data.corpus import Pairs
from textgen_env.data.limit import Limit
from textgen_env.errors import UserError
from textgen_env.types import EOS

pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed (extra: export)")
from agents.interop import ctranslate2 as export

SETTINGS = {  # together they cover every layout of the prompt
    "real_marian": {},
    "bart": {"source_prefix": "a man"},
    "t5": {"source_prefix": "the cat"},
    "gpt2": {"source_prefix": "cat:"},
    "llama": {"separator": "the dog"},
}


def real_marian(folder: Path) -> Path:
    """A Marian with the padding last, as all published ones have it."""
    tokenizer = unigram(["</s>", "<unk>"], "$A </s>")
    tokenizer.add_special_tokens(["<pad>"])
    pad = tokenizer.get_vocab_size() - 1
    tokens = {"eos_token_id": 0, "pad_token_id": pad, "decoder_start_token_id": pad}
    config = transformers.MarianConfig(vocab_size=pad + 1, **SMALL, **tokens)
    names = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    return save(folder, transformers.MarianMTModel(config), tokenizer, **names)


def student(family: str, folder: Path) -> HuggingFacePolicy:
    """A student with random weights and varied outputs."""
    make = real_marian if family == "real_marian" else FAMILIES[family]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        policy = load_pretrained(str(make(folder)), **SETTINGS[family]).requires_grad_(False)
        for name, weight in policy.named_parameters():
            if "embed_positions" not in name:  # sinusoids, which are not saved
                weight.add_(torch.randn_like(weight), alpha=1.0)
    if policy.has_encoder:  # large embeddings and biases would repeat one token
        policy.model.get_input_embeddings().weight.mul_(0.1)[-1] = 0.0
        for name, weight in policy.named_parameters():
            if name.endswith("layer_norm.bias"):
                weight.zero_()
    return policy


@pytest.mark.parametrize("family", others_slow(SETTINGS.keys(), "real_marian", "llama"))
def test_exported_greedy_decoding_equals_ours(family, tmp_path):
    policy = student(family, tmp_path / "model")
    task = TASK.with_vocabulary(policy.vocabulary)
    rows = policy.vocabulary.encode_many([*LINES, *LINES[::-1], "a", "mann"])
    source = pad_sequence([torch.tensor([*ids, EOS]) for ids in rows], batch_first=True)
    check_equal_outputs(policy, task, source, tmp_path / "exported")


@pytest.mark.parametrize(
    "family", others_slow([name for name in SETTINGS if name != "t5"], "real_marian", "bart")
)
def test_the_script_encodes_special_tokens_as_text(family, tmp_path):
    """Not for T5, whose random model repeats one token whatever the source is."""
    policy = student(family, tmp_path / "model")
    task = replace(TASK.with_vocabulary(policy.vocabulary), source_limit=20)
    specials = ["</s>", "<s>", "<pad>", "<unk>", "<mask>", "<|endoftext|>", "<extra_id_0>"]
    lines = [*LINES, *(f"the dog {special} a{special}man {special}" for special in specials)]
    rows = TextSettings.from_task(task).encode(lines, policy.vocabulary).rows
    assert not any(EOS in row[:-1] for row in rows)
    source = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    outputs = check_equal_outputs(policy, task, source, tmp_path / "exported")
    texts = [policy.vocabulary.decode(row) for row in outputs]
    assert run_readme(tmp_path / "exported", "\n".join(lines).encode()) == texts


@pytest.mark.parametrize("family", others_slow(["llama", "chatml", "gemma"], "llama", "gemma"))
def test_an_exported_chat_model_answers_as_ours(family, tmp_path):
    """Also where the end of a turn is not the tokenizer's EOS."""
    torch.manual_seed(0)
    path = str(save_chat_model(tmp_path / "model", family))
    policy = load_pretrained(path, template=ChatTemplate()).requires_grad_(False)
    for weight in policy.parameters():
        weight.add_(torch.randn_like(weight), alpha=0.3)
    limits = {"source_limit": 200, "limit": Limit(HORIZON)}
    chat = Pairs([Conversation(conversation(0)[:1]).to_text()], [("the dog",)])
    corpus = replace(TASK.corpus, splits=dict.fromkeys(TASK.corpus.splits, chat))
    tokens = {"vocabulary": policy.vocabulary, "template": policy.template}
    task = replace(TASK, corpus=corpus, splits={}, **tokens, **limits)
    settings = TextSettings.from_task(task)
    chats = [conversation(number, turns)[:-1] for number in range(4) for turns in (1, 3)]
    chats += [] if family == "gemma" else [CONTEXT + chats[0]]
    lines = [*LINES, "", "  <s> two </s> ", "Ä 的"]
    texts = [Conversation(chat).to_text() for chat in chats] + [line for line in lines if line]
    rows = settings.encode(texts, policy.vocabulary).rows
    source = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    outputs = check_equal_outputs(policy, task, source, tmp_path / "exported")
    expected = iter([" ".join(policy.vocabulary.decode(row).splitlines()) for row in outputs])
    answers = dict(zip(texts, expected, strict=True))
    stdin = "\n".join(lines).encode()
    assert run_readme(tmp_path / "exported", stdin) == [answers.get(line, "") for line in lines]


def check_equal_outputs(policy, task, source, folder):
    """Greedy outputs, with a limit for all rows and with one for each, are ours; the former."""
    export.export_model(policy, task, folder, "float32")
    decode = export.load_decoders(folder, policy, policy.vocabulary)(4)
    outputs = greedy(policy, source, HORIZON).action
    for limit in (HORIZON, 1 + torch.arange(len(source)) % HORIZON):
        ours, theirs = greedy(policy, source, limit), decode(source, limit)
        assert torch.equal(ours.action, theirs.action)
        assert torch.equal(ours.length, theirs.length)
    assert len(outputs.unique(dim=0)) > 1, "the outputs depend on the source"
    return outputs.tolist()


def test_int8_is_smaller_and_generates_ordinary_tokens(tmp_path):
    policy = student("llama", tmp_path / "model")
    task = TASK.with_vocabulary(policy.vocabulary)
    sizes = {}
    for quantization in ("float32", "int8"):
        folder = tmp_path / quantization
        export.export_model(policy, task, folder, quantization)
        sizes[quantization] = (folder / "model.bin").stat().st_size
    assert sizes["int8"] < 0.8 * sizes["float32"]


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("mpt", "cannot convert this mpt model: No conversion is registered"),
        ("marian", "cannot convert this marian model: its decoder must start with the last token"),
    ],
)
def test_what_the_converter_cannot_do_is_refused_in_one_line(family, message, tmp_path):
    policy = load_pretrained(str(FAMILIES[family](tmp_path / "model")))
    task = TASK.with_vocabulary(policy.vocabulary)
    with pytest.raises(UserError, match=message) as error:
        export.export_model(policy, task, tmp_path / "exported", "float32")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "exported").iterdir())
