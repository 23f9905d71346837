"""A Hugging Face student in CTranslate2 generates the same tokens as in torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from torch.nn.utils.rnn import pad_sequence

from agents.generation.decoding import greedy
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.pretrained import load_pretrained
from support.cases import others_slow
from support.exports import HORIZON, TASK
from support.pretrained_models import FAMILIES, LINES, SMALL, save, unigram
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
        torch.manual_seed(0)
        policy = load_pretrained(str(make(folder)), **SETTINGS[family]).requires_grad_(False)
        for weight in policy.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.3)
    if family == "real_marian":
        policy.model.get_input_embeddings().weight[-1] = 0.0
    return policy


@pytest.mark.parametrize("family", others_slow(SETTINGS.keys(), "real_marian", "llama"))
def test_exported_greedy_decoding_equals_ours(family, tmp_path):
    policy = student(family, tmp_path / "model")
    task = TASK.with_vocabulary(policy.vocabulary)
    export.export_model(policy, task, tmp_path / "exported", "float32")
    decode = export.load_decoders(tmp_path / "exported", policy, policy.vocabulary)(4)
    rows = policy.vocabulary.encode_many([*LINES, *LINES[::-1], "a", "mann"])
    source = pad_sequence([torch.tensor([*ids, EOS]) for ids in rows], batch_first=True)
    for limit in (HORIZON, 1 + torch.arange(len(source)) % HORIZON):
        ours, theirs = greedy(policy, source, limit), decode(source, limit)
        assert torch.equal(ours.action, theirs.action)
        assert torch.equal(ours.length, theirs.length)
    assert len(ours.action.unique(dim=0)) > 3, "the outputs are varied"


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
