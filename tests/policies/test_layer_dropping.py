"""Smaller copies of a model: which layers they keep, and that config and weights follow."""

from __future__ import annotations

import itertools

import pytest
import torch
import transformers

from agents.policies.layer_dropping import keep_layers, kept_layers, layer_counts, smaller_config
from textgen_env.errors import UserError

SIZES = {"vocab_size": 20, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
SIZES |= {"num_key_value_heads": 2, "head_dim": 8, "num_hidden_layers": 5}
SEQ2SEQ = {"vocab_size": 20, "d_model": 16, "encoder_layers": 5, "decoder_layers": 3}
SEQ2SEQ |= dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2)
SEQ2SEQ |= dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 16)
T5 = {"vocab_size": 20, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_heads": 2, "num_layers": 5}
T5 |= {"num_decoder_layers": 3}
TYPES = ["sliding_attention", "full_attention"]


@pytest.mark.parametrize("layers", [1, 2, 5, 12, 24])
def test_layers_are_kept_evenly(layers):
    for count in range(1, layers + 1):
        kept = kept_layers(layers, count)
        gaps = {after - before for before, after in itertools.pairwise(kept)}
        assert kept[0] == 0
        assert len(kept) == count
        assert count == 1 or kept[-1] == layers - 1
        assert not gaps or (min(gaps) >= 1 and max(gaps) - min(gaps) <= 1)
    assert kept_layers(layers, layers) == [*range(layers)]


def gemma3() -> transformers.PreTrainedModel:
    config = transformers.Gemma3TextConfig(**SIZES, layer_types=[*TYPES, *TYPES, TYPES[0]])
    return transformers.Gemma3ForCausalLM(config)


def gpt_neo() -> transformers.PreTrainedModel:
    sizes = {"vocab_size": 20, "hidden_size": 16, "num_heads": 2, "intermediate_size": 16}
    types = [[["global", "local"], 2], [["local"], 1]]
    config = transformers.GPTNeoConfig(**sizes, num_layers=5, attention_types=types)
    return transformers.GPTNeoForCausalLM(config)


def gpt2() -> transformers.PreTrainedModel:
    config = transformers.GPT2Config(vocab_size=20, n_embd=16, n_head=2, n_layer=5)
    return transformers.GPT2LMHeadModel(config)


CAUSAL = {make.__name__: make for make in (gemma3, gpt_neo, gpt2)}


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_model_without_some_layers(name):
    """The dropped layers are those that the larger model skips: the same logits."""
    model = CAUSAL[name]().eval()
    config = smaller_config(model.config, 3, None)
    smaller = keep_layers(model, config).eval()
    tokens = torch.tensor([[1, 2, 3, 4, 5]])
    layers = model.model if hasattr(model, "model") else model.transformer
    stack = layers.h if hasattr(layers, "h") else layers.layers
    kept = torch.nn.ModuleList([stack[0], stack[2], stack[4]])
    setattr(layers, "h" if hasattr(layers, "h") else "layers", kept)
    model.config.num_hidden_layers = layers.config.num_hidden_layers = 3
    if hasattr(config, "layer_types"):  # transformers 5 reads them in the forward pass
        layers.config.layer_types = config.layer_types
    inputs = {"input_ids": tokens, "use_cache": False}
    torch.testing.assert_close(smaller(**inputs).logits, model(**inputs).logits)
    assert smaller.config.num_hidden_layers == 3


def test_lists_with_an_entry_per_layer_follow():
    assert smaller_config(gemma3().config, 3, None).layer_types == [TYPES[0]] * 3
    assert layer_counts(smaller_config(gpt2().config, 2, None)) == [2]
    assert smaller_config(gemma3().config, 2, None).layer_types == [TYPES[0]] * 2
    assert smaller_config(gpt_neo().config, 2, None).attention_layers == ["global", "local"]


@pytest.mark.parametrize(
    ("config", "names", "stacks"),
    [
        (
            transformers.BartConfig(**SEQ2SEQ),
            ("encoder_layers", "decoder_layers"),
            ("model.encoder.layers", "model.decoder.layers"),
        ),
        (
            transformers.T5Config(**T5),
            ("num_layers", "num_decoder_layers"),
            ("encoder.block", "decoder.block"),
        ),
    ],
    ids=["bart", "t5"],
)
def test_encoder_and_decoder_have_numbers_of_their_own(config, names, stacks):
    model = transformers.AutoModelForSeq2SeqLM.from_config(config)
    smaller = smaller_config(config, 3, 2)
    assert [getattr(smaller, name) for name in names] == [3, 2] == layer_counts(smaller)
    model_2 = keep_layers(model, smaller)
    for stack, kept in zip(stacks, ([0, 2, 4], [0, 2]), strict=True):
        for new, old in enumerate(kept):
            weights = model_2.get_submodule(f"{stack}.{new}").state_dict()
            original = model.get_submodule(f"{stack}.{old}").state_dict()
            assert weights.keys() == original.keys()
            assert all(torch.equal(weights[name], original[name]) for name in weights)
    only_decoder = smaller_config(config, None, 1)
    assert [getattr(only_decoder, name) for name in names] == [5, 1]
    assert smaller_config(config, None, None) is config


@pytest.mark.parametrize(
    ("config", "layers", "message"),
    [
        (transformers.GPT2Config(n_layer=5), (6, None), "layers=6: it has 5; choose 1 to 5"),
        (transformers.GPT2Config(), (None, 2), "decoder_layers=2: only an encoder-decoder"),
        (transformers.BartConfig(**SEQ2SEQ), (1, 4), "decoder_layers=4: it has 3; choose 1 to 3"),
    ],
    ids=str,
)
def test_other_numbers_are_refused(config, layers, message):
    with pytest.raises(UserError, match=message):
        smaller_config(config, *layers)


def test_a_model_whose_layers_differ_is_refused():
    sizes = SIZES | {"num_experts": 2, "moe_intermediate_size": 8, "decoder_sparse_step": 2}
    model = transformers.Qwen2MoeForCausalLM(transformers.Qwen2MoeConfig(**sizes))
    with pytest.raises(UserError, match="the layers of a qwen2_moe model differ"):
        keep_layers(model, smaller_config(model.config, 3, None))
