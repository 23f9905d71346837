"""A base model and its chat model: one tokenizer, in which another token ends a sequence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from agents.policies.pretrained import load_pretrained
from agents.policies.tokenizer import load_tokenizer
from support.pretrained_models import byte_level, save
from textgen_env.types import EOS, LOG_ZERO, shift

END, TURN = "<|endoftext|>", "<|im_end|>"


def gpt2(folder: Path, eos: str, extra: tuple[str, ...] = ()) -> Path:
    """A tiny model whose EOS is ``eos``."""
    tokenizer = byte_level([END, TURN, *extra], "$A")
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    end = tokenizer.token_to_id(eos)
    config = transformers.GPT2Config(
        vocab_size=tokenizer.get_vocab_size(), **sizes, bos_token_id=end, eos_token_id=end
    )
    torch.manual_seed(0)
    return save(folder, transformers.GPT2LMHeadModel(config), tokenizer, eos_token=eos)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {eos: gpt2(tmp_path_factory.mktemp("model"), eos) for eos in (END, TURN)} | {
        "extra": gpt2(tmp_path_factory.mktemp("extra"), TURN, ("<|pad|>",))
    }


def test_each_keeps_its_own_eos(folders):
    base, chat = (load_tokenizer(str(folders[eos])) for eos in (END, TURN))
    assert base.vocabulary.fingerprint != chat.vocabulary.fingerprint
    aligned = chat.aligned_with(base.vocabulary)
    assert aligned.vocabulary is base.vocabulary
    assert aligned.ids[EOS] == chat.ids[EOS] != base.ids[EOS]
    turn = base.vocabulary.tokens.index(TURN)
    assert aligned.ids[turn] is None
    own = dict(zip(chat.vocabulary.tokens, chat.ids, strict=True))
    for token, name in enumerate(base.vocabulary.tokens):
        if token != turn and token > EOS:
            assert aligned.ids[token] == own[name]
    assert base.aligned_with(base.vocabulary) is base


def test_logits_are_those_of_the_same_tokens(folders):
    policy = load_pretrained(str(folders[TURN]))
    tokens, base = policy.vocabulary.tokens, load_tokenizer(str(folders[END])).vocabulary
    aligned = load_pretrained(str(folders[TURN]), vocabulary=base)
    text = policy.vocabulary.encode("the cat sees")
    source = torch.tensor([[*text, EOS]])
    before = policy(source, shift(source))[0]
    source = torch.tensor([[*base.encode("the cat sees"), EOS]])
    after = aligned(source, shift(source))[0]
    for token, name in enumerate(base.tokens):
        expected = LOG_ZERO if name == TURN else before[:, tokens.index(name)]
        assert torch.equal(after[:, token], torch.as_tensor(expected).expand(len(after)))


def test_other_differences_are_no_names(folders):
    base, extra = (load_tokenizer(str(folders[name])) for name in (END, "extra"))
    assert extra.aligned_with(base.vocabulary) is extra
    assert base.aligned_with(extra.vocabulary) is base
