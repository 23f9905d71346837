"""LoRA: only the adapter is trained and saved, and the base model teaches with the same weights."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

import textgen_env
from agents.algorithms.gkd import GKD
from agents.generation.decoding import greedy
from agents.policies.adapters import (
    LoRA,
    add_adapter,
    merged,
    save_adapter,
    without_adapter,
)
from agents.policies.pretrained import load_pretrained
from agents.training.checkpoint import load_tensors
from agents.training.config import TrainConfig
from agents.training.saving import Checkpoints
from agents.training.trainer import train_policy
from support.cases import others_slow
from support.policies import prefixes, sources
from support.pretrained_models import FAMILIES, LINES
from support.training import ActionAt, CrashError, crash, equal_tensors
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.oracles.policy import PolicyOracle

peft = pytest.importorskip("peft", reason="peft is not installed (extra: hf)")

LINEAR = LoRA(rank=3, targets=["all-linear"])
SOURCE, PREFIX = sources([5, 3], 5), prefixes(2, 6)
AUTO = {
    True: (transformers.AutoModelForSeq2SeqLM, peft.AutoPeftModelForSeq2SeqLM),
    False: (transformers.AutoModelForCausalLM, peft.AutoPeftModelForCausalLM),
}


@pytest.fixture(params=others_slow(FAMILIES.keys(), "bart", "gpt2", "llama"))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def adapted(folder: Path, lora: LoRA = LINEAR) -> nn.Module:
    """A policy with a new adapter."""
    policy = load_pretrained(str(folder))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        add_adapter(policy, lora)
    return policy


def train(policy: nn.Module, steps: int = 2) -> None:
    """Some steps that prefer the highest tokens, with dropout."""
    weights = [weight for weight in policy.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=0.05)
    policy.train()
    for _ in range(steps):
        optimizer.zero_grad()
        policy(SOURCE, PREFIX).log_softmax(-1)[..., -4:].mean().neg().backward()
        optimizer.step()
    policy.eval()


def test_the_base_model_teaches_unchanged_with_the_same_weights(name, folders):
    policy = adapted(folders[name])
    with torch.no_grad():  # with gradients, attention may take another kernel
        expected = load_pretrained(str(folders[name]))(SOURCE, PREFIX).log_softmax(-1)
        untrained = policy(SOURCE, PREFIX).log_softmax(-1)
    base = without_adapter(policy)
    teacher = PolicyOracle(base, greedy, base.vocabulary, policy.vocabulary)
    assert torch.equal(teacher.log_probs(SOURCE, PREFIX), expected)
    assert torch.equal(untrained, expected)  # B = 0: the KL is 0
    train(policy)
    assert torch.equal(teacher.log_probs(SOURCE, PREFIX), expected)
    assert (policy(SOURCE, PREFIX).log_softmax(-1) - expected).abs().max() > 0.01
    own = {weight.data_ptr() for weight in policy.parameters()}
    assert {weight.data_ptr() for weight in base.parameters()} < own
    assert policy.training is False
    base.train()
    assert policy.training is False


def test_every_adapter_learns_and_nothing_else(name, folders):
    policy = adapted(folders[name])
    before = copy.deepcopy(dict(policy.named_parameters()))
    train(policy)
    for weight, value in policy.named_parameters():
        changed = not torch.equal(value, before[weight])
        assert changed == (".lora_" in weight), weight


def test_the_state_is_the_adapter_alone_and_restores_the_policy(name, folders):
    policy = adapted(folders[name])
    train(policy)
    state = policy.state_dict()
    assert state
    assert all(".lora_" in weight for weight in state)
    other = load_pretrained(str(folders[name]))
    add_adapter(other, LINEAR)
    other.load_state_dict(state)
    assert torch.equal(other(SOURCE, PREFIX), policy(SOURCE, PREFIX))
    state.popitem()
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict(state)
    assert (
        without_adapter(policy).state_dict().keys()
        == load_pretrained(str(folders[name])).state_dict().keys()
    )


def test_an_unfrozen_policy_trains_the_adapter_alone(folders):
    policy = adapted(folders["llama"]).requires_grad_(False).requires_grad_(True)
    assert {name for name, weight in policy.named_parameters() if weight.requires_grad} == {
        *policy.state_dict()
    }


@torch.no_grad()
def test_merged_and_reopened_models_give_the_same_logits(name, folders, tmp_path):
    policy = adapted(folders[name])
    with torch.enable_grad():
        train(policy)
    auto, auto_peft = AUTO[policy.has_encoder]
    state = policy.start(SOURCE, 6)
    inputs = policy.model_inputs(state.prompt, state)
    expected = policy.model(**inputs).logits
    merged(policy).model.save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(auto.from_pretrained(tmp_path / "merged")(**inputs).logits, expected)
    save_adapter(policy, tmp_path / "adapter", str(folders[name]))
    opened = auto_peft.from_pretrained(tmp_path / "adapter").eval()
    assert torch.equal(opened(**inputs).logits, expected)
    assert torch.equal(policy.model(**inputs).logits, expected), "merging left the policy alone"


def test_the_adapter_of_a_bfloat16_model_is_float32(folders):
    policy = load_pretrained(str(folders["llama"]), dtype="bfloat16")
    expected = policy(SOURCE, PREFIX)
    add_adapter(policy, LINEAR)
    assert torch.equal(policy(SOURCE, PREFIX), expected)
    assert {weight.dtype for weight in policy.state_dict().values()} == {torch.float32}
    assert {weight.dtype for weight in without_adapter(policy).parameters()} == {torch.bfloat16}
    train(policy)
    assert not torch.equal(policy(SOURCE, PREFIX), expected)
    assert {weight.dtype for weight in merged(policy).parameters()} == {torch.bfloat16}


def test_an_adapter_on_the_head_counts(folders):
    policy = adapted(folders["llama"], LoRA(rank=2, targets=["lm_head"]))
    train(policy)
    state = policy.start(SOURCE, 6)
    output = policy.model(**policy.model_inputs(state.prompt, state)).logits[:, -1]
    base = without_adapter(policy)
    expected = policy.vocabulary_logits(output)
    torch.testing.assert_close(policy(SOURCE, PREFIX)[:, 0], expected)
    assert (base(SOURCE, PREFIX)[:, 0] - expected).abs().max() > 0.01


@pytest.mark.parametrize(
    ("family", "lora", "message"),
    [
        ("marian", LoRA(2), "lora.targets=null: PEFT has no default for marian; choose from fc1"),
        ("llama", LoRA(2, ["q_proj", "v"]), "lora.targets=[q_proj,v]: llama has no linear layer v"),
        ("llama", LoRA(2, ["embed_tokens"]), "llama has no linear layer embed_tokens"),
        ("gpt2", LoRA(2, ["lm_head"]), "the weights of lm_head are also the input embeddings"),
        ("gpt2", LoRA(0), "lora.rank=0: expected a number"),
        ("gpt2", LoRA(2, dropout=1.0), "lora.dropout=1.0: expected a number"),
    ],
)
def test_what_cannot_be_adapted_is_refused_in_one_line(family, lora, message, folders):
    with pytest.raises(UserError) as error:
        adapted(folders[family], lora)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


DROPOUT = LoRA(rank=3, targets=["all-linear"], dropout=0.2)
RUNS = ("straight", "resumed")


def distill(policy: nn.Module, folder: Path, crash_at: int = 0, resume: bool = False) -> None:
    """Train ``policy`` on its own rollouts for six steps, with the base model as teacher."""
    folder.mkdir(exist_ok=True)
    pairs = [(line, other) for line in LINES for other in LINES]
    splits = dict.fromkeys(("train", "valid", "test"), pairs)
    task = textgen_env.task_from_pairs(splits, policy.vocabulary, metric="chrf")
    base = without_adapter(policy)
    oracle = PolicyOracle(base, greedy, base.vocabulary, task.vocabulary)
    algorithm = GKD(policy, oracle, nll=0.2)
    if crash_at:
        algorithm = ActionAt(algorithm, crash_at, crash)
        algorithm.oracle = oracle
    train_policy(
        algorithm,
        policy,
        Batches(task.splits["train"], 64, 0, task.limit),
        lambda: {"valid_score": float(sum(w.abs().sum() for w in policy.state_dict().values()))},
        TrainConfig(6, lr=0.05, warmup=1, validations=3, resume=resume, loggers=()),
        Checkpoints(folder, "student", {}),
    )


@pytest.mark.parametrize("family", others_slow(["gpt2", "marian"]))
def test_a_resumed_training_gives_the_same_adapter_bit_for_bit(family, folders, tmp_path):
    straight = adapted(folders[family], DROPOUT)
    assert any(module.p for module in straight.model.modules() if isinstance(module, nn.Dropout))
    distill(straight, tmp_path / "straight")
    with pytest.raises(CrashError):
        distill(adapted(folders[family], DROPOUT), tmp_path / "resumed", crash_at=5)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        resumed = load_pretrained(str(folders[family]))
        add_adapter(resumed, DROPOUT)
    distill(resumed, tmp_path / "resumed", resume=True)
    assert equal_tensors(straight.state_dict(), resumed.state_dict())
    for name in ("last", "best"):
        paths = (tmp_path / run / "checkpoints" / f"{name}.safetensors" for run in RUNS)
        saved = [load_tensors(path)[0] for path in paths]
        assert equal_tensors(*saved)
        kept = {key for key in saved[0] if not key.startswith(("optimizer.", "algorithm."))}
        assert all(".lora_" in key for key in kept)
        moments = [value.numel() for key, value in saved[0].items() if key.endswith("exp_avg")]
        assert sum(moments) == sum(saved[0][key].numel() for key in kept) * (name == "last")
