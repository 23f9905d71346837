"""Hugging Face policies with their tokenizers: the same numbers as transformers.

The identities of every policy are tested in test_families.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from agents.generation.beam import beam_search
from agents.generation.decoding import greedy
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.pretrained import load_pretrained
from agents.policies.tokenizer import load_tokenizer
from support.policies import close, prefixes, sources
from support.pretrained_models import FAMILIES, LINES, SMALL, copier
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.types import BOS, EOS, PAD, shift

SETTINGS = {  # of each family; together they cover every layout of the prompt
    "marian": {},
    "bart": {"source_prefix": "a man"},
    "t5": {"source_prefix": "the cat"},
    "gpt2": {"source_prefix": "cat:"},
    "llama": {"separator": "the dog"},
    "mpt": {"source_prefix": "cat:", "separator": ":"},
}
PROMPTS = {  # the same, as one text for the model's own tokenizer
    "marian": "{}",
    "bart": "a man{}",
    "t5": "the cat {}",
    "gpt2": "cat:{}<|endoftext|>",
    "llama": "{} the dog",
    "mpt": "cat:{}:",
}


@pytest.fixture(params=sorted(FAMILIES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def policies(folders: dict[str, Path]) -> dict[str, nn.Module]:
    return {name: load_pretrained(str(path), **SETTINGS[name]) for name, path in folders.items()}


@pytest.fixture
def policy(name: str, policies: dict[str, nn.Module]) -> nn.Module:
    return policies[name]


def encode(policy: nn.Module, texts: list[str]) -> torch.Tensor:
    """Sources or targets ``[B, S]`` as in the batches of a task."""
    rows = [torch.tensor([*ids, EOS]) for ids in policy.vocabulary.encode_many(texts)]
    return pad_sequence(rows, batch_first=True)


@torch.no_grad()
def test_batched_scores_equal_those_of_transformers_for_single_pairs(name, policy, folders):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[name])
    ids = load_tokenizer(str(folders[name])).ids
    shared = [token for token, index in enumerate(ids) if index is not None and token != BOS]
    targets = LINES[::-1]
    logits = policy(encode(policy, LINES), shift(encode(policy, targets)))  # [B, T, V]
    for row, (text, target) in enumerate(zip(LINES, targets, strict=True)):
        prompt = tokenizer(PROMPTS[name].format(text))["input_ids"]
        answer = tokenizer(target, add_special_tokens=False)["input_ids"]
        if policy.has_encoder:
            labels = tokenizer(target)["input_ids"]
            output = policy.model(torch.tensor([prompt]), labels=torch.tensor([labels]))
            expected = output.logits[0, len(labels) - len(answer) - 1 :]
        else:
            output = policy.model(torch.tensor([prompt + answer]))
            expected = output.logits[0, len(prompt) - 1 :]
        expected = expected[:, [ids[token] for token in shared]].log_softmax(-1)
        assert len(expected) == len(answer) + 1
        close(logits[row, : len(expected)].log_softmax(-1)[:, shared], expected)


DECODER = {
    **{"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2},
    **{"hidden_size": 16, "head_dim": 8, "intermediate_size": 24},
    **{"pad_token_id": 1, "eos_token_id": 2, "bos_token_id": 3},
}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("marian", SMALL | {"decoder_start_token_id": 2, "pad_token_id": 1, "eos_token_id": 2}),
        ("t5", T5 | {"decoder_start_token_id": 0}),
        ("gemma2", DECODER | {"final_logit_softcapping": 0.5}),
        ("cohere", DECODER | {"logit_scale": 0.1}),
        ("granite", DECODER | {"logits_scaling": 7.0}),
    ],
)
@torch.no_grad()
def test_head_of_features_equals_the_logits_of_the_model(kind, settings):
    """Including the scale, bias and cap that some models apply to the logits."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, vocab_size=40, **settings)
    has_encoder = config.is_encoder_decoder
    model = (
        transformers.AutoModelForSeq2SeqLM if has_encoder else transformers.AutoModelForCausalLM
    ).from_config(config)
    if kind == "marian":
        model.final_logits_bias.normal_()
    vocabulary = Vocabulary.from_words([f"w{i}" for i in range(30)])
    ids = [None, None, *range(2, 34)]
    policy = HuggingFacePolicy(model.eval(), vocabulary, ids, [], [2])
    source, prefix = sources([5, 3], 5), prefixes(2, 6)
    state = policy.start(source, 6)
    tokens = torch.cat([state.prompt, policy.ids[prefix[:, 1:]]], 1)
    output = model(**policy.model_inputs(tokens, state)).logits[:, state.prompt.shape[1] - 1 :]
    expected = policy.vocabulary_logits(output)  # [B, T, V]
    features, mask = policy.features(source, prefix), torch.arange(6) < torch.tensor([[6], [2]])
    assert features.shape == (2, 6, policy.feature_width)
    close(policy.head(features), expected)
    close(policy.head(policy.features(source, prefix, mask)), expected[mask])


@torch.no_grad()
def test_a_hidden_eos_is_only_the_last_of_a_source(policies):
    """A model with a separator; a source may be a chat, whose turns end with EOS."""
    policy = policies["llama"]
    source, prefix = torch.tensor([[5, EOS, 6, EOS, PAD], [7, EOS, EOS, 8, 9]]), prefixes(2, 4)
    logits = policy(source, prefix)
    for row, text in enumerate([[5, EOS, 6], [7, EOS, EOS, 8, 9]]):
        prompt = torch.tensor([*policy.before_source, *policy.ids[text], *policy.before_target])
        tokens = torch.cat([prompt, policy.ids[prefix[row, 1:]]])
        expected = policy.model(tokens[None]).logits[0, len(prompt) - 1 :]
        close(logits[row], policy.vocabulary_logits(expected))


@torch.no_grad()
def test_beam_search_scores_equal_teacher_forcing(policy):
    source = encode(policy, LINES)
    output = beam_search(policy, source, 10, width=4)
    log_probs = policy(source, shift(output.action)).log_softmax(-1)
    log_probs = log_probs.gather(2, output.action[:, :, None]).squeeze(2)  # [B, T]
    inside = torch.arange(log_probs.shape[1]) < output.length[:, None]
    close((log_probs * inside).sum(1), output.score)


@pytest.fixture(scope="module")
def half_trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, torch.Tensor]:
    """A Marian that has half learned to copy, so that beam widths give different texts."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 9, (400,), generator=generator).tolist()
    texts = [
        " ".join(f"w{i}" for i in torch.randint(12, (n,), generator=generator)) for n in lengths
    ]
    policy = load_pretrained(str(copier(tmp_path_factory.mktemp("copier"), texts, steps=60)))
    return policy, encode(policy, texts[:150])


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("width", [1, 4, 5])
@torch.no_grad()
def test_beam_search_equals_transformers_with_early_stopping(width, length_penalty, half_trained):
    """Where the hypothesis of transformers ends with EOS: it lets truncated ones compete.

    transformers divides the score by the number of generated tokens, EOS included and the start
    token excluded, to the power of length_penalty, as we do.
    """
    (policy, source), limit = half_trained, 10
    names = ("decoder_start_token_id", "eos_token_id", "pad_token_id")
    config = {name: getattr(policy.model.config, name) for name in names}
    config |= {"num_beams": width, "length_penalty": length_penalty, "max_new_tokens": limit}
    config |= {"early_stopping": width > 1, "suppress_tokens": [config["pad_token_id"]]}
    search = transformers.GenerationConfig(**config)
    mask = (source != PAD).long()
    generated = policy.model.generate(
        policy.ids[source], attention_mask=mask, generation_config=search
    )[:, 1:]
    ended = (generated == config["eos_token_id"]).any(1)
    assert ended.float().mean() > 0.5

    output = beam_search(policy, source, limit, width, length_penalty)
    rows = zip(output.action, output.length, strict=True)
    ours = [policy.ids[row[:length]].tolist() for row, length in rows]
    theirs = [[id_ for id_ in row if id_ != config["pad_token_id"]] for row in generated.tolist()]
    equal = [ours[row] == theirs[row] for row in ended.nonzero().squeeze(1)]
    assert sum(equal) >= 0.99 * len(equal)  # rounding may decide between hypotheses
    if width > 1:
        greedy_rows = [
            policy.ids[row[row != PAD]].tolist() for row in greedy(policy, source, limit).action
        ]
        assert sum(a != b for a, b in zip(greedy_rows, ours, strict=True)) > 10


def test_the_policy_is_an_oracle_over_its_tokenizers_tokens(policy):
    oracle = PolicyOracle(policy, greedy, policy.vocabulary, policy.vocabulary)
    log_probs = oracle.log_probs(sources([5, 3], 5), prefixes(2, 6))
    assert log_probs.shape == (2, 6, len(policy.vocabulary))
    assert log_probs.dtype == torch.float32
    assert log_probs.isfinite().all()
    close(log_probs.logsumexp(-1), torch.zeros(2, 6))
    assert not log_probs[..., [PAD, BOS]].exp().any()
    assert "<|endoftext|>" not in policy.vocabulary.tokens  # it is EOS


@torch.no_grad()
def test_tokens_that_the_model_lacks_are_encoded_as_eos(policy):
    source, prefix = sources([5, 3], 5), prefixes(2, 6)
    with_eos = prefix.clone()
    with_eos[:, 3] = EOS
    for token in set(policy.missing.tolist()) - {BOS}:  # the model of a Llama has <s>
        with_missing = prefix.clone()
        with_missing[:, 3] = token
        assert torch.equal(policy(source, with_missing), policy(source, with_eos))


@torch.no_grad()
def test_padding_takes_no_positions(policy):
    source, prefix = sources([5, 3], 5), prefixes(2, 6)
    padded = torch.cat([source, torch.full((2, 200), PAD)], 1)  # the models have 128 positions
    close(policy(padded, prefix), policy(source, prefix))
