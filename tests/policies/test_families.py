"""The contract of a policy for every type of Hugging Face model; usual ones in the default run.

The random models are built from configs, so nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from agents.policies.checks import check_family, check_identities
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.sanitized_folder import sanitized_folder
from support.families import NAMES, QUICK, build
from support.policies import close, decode, prefixes, sources
from support.policy_contract import *  # noqa: F403
from textgen_env.errors import UserError
from textgen_env.types import shift

MODELS = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NAMES]
LENGTHS, WIDTH = [7, 2, 5], 6  # longer than every window


@pytest.fixture(scope="module", params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def policy(name: str) -> nn.Module:
    return build(name)


@pytest.fixture(scope="module")
def dropped(name: str) -> HuggingFacePolicy:
    """With dropout, in training mode."""
    return build(name, dropout=0.3).train()


def targets() -> Tensor:
    """Three targets of six actions."""
    return prefixes(3, WIDTH + 1)[:, 1:]


def loss(policy: nn.Module, run: Callable[..., Tensor] | None = None) -> Tensor:
    """The summed cross-entropy of the targets, by masked features and the head."""
    source, target = sources(LENGTHS, max(LENGTHS)), targets()
    mask = torch.ones_like(target, dtype=torch.bool)
    logits = (run or policy)(source, shift(target), mask)
    return F.cross_entropy(logits, target[mask], reduction="sum")


def gradients(loss: Tensor, policy: nn.Module) -> list[Tensor]:
    weights = [weight for weight in policy.parameters() if weight.requires_grad]
    return list(torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True))


def own_output(policy: HuggingFacePolicy, row: int) -> tuple[Tensor, Tensor]:
    """The model's own logits ``[T, V]`` and loss for one pair, without padding or a mask."""
    source = policy.ids[sources(LENGTHS, max(LENGTHS))[row, : LENGTHS[row]]]
    source = torch.cat([policy.before_source, source])
    target = policy.ids[targets()[row]]
    if policy.has_encoder:
        prefix = torch.cat([policy.before_target, target[:-1]])
        output = policy.model(source[None], decoder_input_ids=prefix[None], labels=target[None])
        return output.logits[0], output.loss
    prompt = torch.cat([source, policy.before_target])
    tokens = torch.cat([prompt, target])
    labels = torch.cat([torch.full_like(prompt, -100), target])
    output = policy.model(tokens[None], labels=labels[None])
    return output.logits[0, len(prompt) - 1 : -1], output.loss


def test_logits_loss_and_gradients_equal_the_models_own(policy):
    ours = policy(sources(LENGTHS, max(LENGTHS)), shift(targets()))
    rows = [own_output(policy, row) for row in range(len(LENGTHS))]
    close(ours, torch.stack([logits[:, policy.ids] for logits, _ in rows]))
    own_loss = WIDTH * sum(own for _, own in rows)
    close(loss(policy), own_loss)
    pairs = zip(gradients(loss(policy), policy), gradients(own_loss, policy), strict=True)
    for actual, expected in pairs:
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_dropout_is_on_in_training_mode_only(dropped, name):
    torch.manual_seed(0)
    first = loss(dropped)
    torch.manual_seed(0)
    assert torch.equal(loss(dropped), first)
    if name != "mpt":  # in transformers 5 its rate is an integer
        assert not torch.equal(loss(dropped), first)
    dropped.eval()
    assert torch.equal(loss(dropped), loss(dropped))
    dropped.train()


@pytest.mark.parametrize("inside", [True, False], ids=["layers", "whole"])
def test_checkpointing_changes_no_gradient(dropped, inside):
    """Of the layers, by the model itself, or of the whole policy; with dropout."""
    torch.manual_seed(0)
    expected = gradients(loss(dropped), dropped)
    torch.manual_seed(0)
    dropped.checkpointing = inside
    run = None if inside else lambda *args: checkpoint(dropped, *args, use_reentrant=False)
    actual = gradients(loss(dropped, run), dropped)
    dropped.checkpointing = False
    assert any(gradient.any() for gradient in expected)
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_a_model_with_checkpointing_generates_in_eval_mode_only(dropped):
    """In training mode it would silently ignore its cache."""
    dropped.checkpointing = True
    source, prefix = sources([5, 3], 5), prefixes(2, 4)
    with pytest.raises(RuntimeError, match="eval mode"):
        dropped.step(prefix[:, 0], dropped.start(source, 4))
    dropped.eval()
    close(decode(dropped, dropped.start(source, 4), prefix)[0], dropped(source, prefix))
    dropped.train()
    dropped.checkpointing = False


@torch.no_grad()
def test_a_model_folder_keeps_all_settings(policy, name, tmp_path: Path):
    policy.model.save_pretrained(tmp_path)
    with sanitized_folder(str(tmp_path), transformers) as folder:
        model = type(policy.model).from_pretrained(folder).float()
    ids = [policy.before_source.tolist(), policy.before_target.tolist()]
    loaded = HuggingFacePolicy(model, policy.vocabulary, policy.ids.tolist(), *ids).eval()
    loaded.missing = policy.missing
    assert torch.equal(loss(loaded), loss(policy))


def scale_logits(module: nn.Module, args: object, output: Any) -> None:
    """As of a type whose output layer ``HuggingFacePolicy.head`` does not know."""
    output.logits = 2 * output.logits


def forget_keys(module: nn.Module, args: object, output: Any) -> None:
    if output.past_key_values is not None:
        for layer in output.past_key_values.layers:
            layer.keys.zero_()


@pytest.mark.parametrize(
    ("change", "reason"),
    [(scale_logits, "logits are not those of its output layer"), (forget_keys, "cache changes")],
)
def test_a_model_that_breaks_an_identity_is_refused_with_the_reason(change, reason):
    policy = build("llama")
    check_identities(policy)
    policy.model.register_forward_hook(change)
    with pytest.raises(UserError, match=f"a llama model cannot be used: its {reason}"):
        check_identities(policy)


@pytest.mark.parametrize(
    ("kind", "settings", "reason"),
    [
        ("switch_transformers", {}, "its experts drop tokens"),
        ("nllb-moe", {}, "its experts drop tokens"),
        ("prophetnet", {}, "it predicts several tokens at once"),
        ("bigbird_pegasus", {}, 'set "attention_type": "original_full"'),
        ("phimoe", {"sliding_window": 64}, "beyond its sliding window of 64 tokens: update to"),
    ],
)
def test_types_that_break_an_identity_are_refused_with_the_reason(kind, settings, reason):
    config = transformers.AutoConfig.for_model(kind, **settings)
    with pytest.raises(UserError, match=f" {kind} model .*{reason}"):
        check_family(config, "4.57.6")


def test_transformers_5_has_mended_the_sliding_window():
    config = transformers.AutoConfig.for_model("phimoe", sliding_window=64)
    check_family(config, "5.24.0")
    config.sliding_window = None
    check_family(config, "4.57.6")
