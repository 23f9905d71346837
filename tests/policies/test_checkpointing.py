"""``train.checkpointing`` of Hugging Face students: the same gradient, the layers run twice."""

from __future__ import annotations

import pytest
import torch

from support.policies import V, prefixes, sources
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

SETTINGS = {
    **{"num_hidden_layers": 2, "num_attention_heads": 2, "attention_dropout": 0.3},
    **{"hidden_size": 16, "intermediate_size": 24},
}


@pytest.fixture
def policy():
    from agents.policies.huggingface import HuggingFacePolicy

    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=V, **SETTINGS))
    vocabulary = Vocabulary.from_words([f"w{index}" for index in range(4, V)])
    return HuggingFacePolicy(model, vocabulary, [None, None, *range(2, V)], [], [2]).train()


def gradients(policy):
    """With dropout, always from the same random numbers; and how often a linear layer ran."""
    runs = []
    hooks = [
        layer.register_forward_hook(lambda *_: runs.append(1))
        for layer in policy.modules()
        if isinstance(layer, torch.nn.Linear)
    ]
    torch.manual_seed(1)
    weights = [weight for weight in policy.parameters() if weight.requires_grad]
    loss = policy(sources([5, 3], 5), prefixes(2, 6)).logsumexp(-1).sum()
    found = torch.autograd.grad(loss, weights)
    for hook in hooks:
        hook.remove()
    return found, len(runs)


def test_checkpointing_changes_no_gradient_and_runs_the_layers_again(policy):
    plain, runs = gradients(policy)
    assert policy.training
    policy.checkpointing = True
    again, more = gradients(policy)
    torch.testing.assert_close(again, plain)
    assert policy.checkpointing
    assert more > 1.5 * runs
    policy.checkpointing = False
    assert gradients(policy)[1] == runs


def test_a_model_without_checkpointing_is_refused_in_one_line(policy, monkeypatch):
    monkeypatch.setattr(type(policy.model), "supports_gradient_checkpointing", False)
    with pytest.raises(UserError, match="does not support"):
        policy.checkpointing = True
