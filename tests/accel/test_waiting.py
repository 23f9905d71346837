"""A GPU is not waited for: on torch's device without data, whatever would fetch a number from the device fails."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from agents.algorithms import LossOutput
from agents.algorithms.bc import BC
from agents.algorithms.dagger import DAgger
from agents.algorithms.word_kd import WordKD
from agents.generation.roll_in import Mixed
from agents.losses import sequence as losses
from agents.policies import rnn
from agents.policies.layers import Dropout
from agents.policies.transformer import Transformer
from agents.training.trainer import Meter
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.types import Batch, picked

WORDS = Vocabulary.words([str(i) for i in range(36)])
POLICIES = {"transformer": Transformer, **rnn.NAMES}
LENGTH, ON_POLICY = torch.tensor([12, 5, 7]), torch.tensor([True, False, True])


@pytest.fixture(autouse=True)
def device(monkeypatch):
    """The device "meta" with what torch does not do on it: a precision to ask for, and a generator of its own."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: False)
    monkeypatch.setattr(Dropout, "_words", lambda self, count, device: torch.empty(count, dtype=torch.int64, device=device))
    return "meta"


def rolled_in(labels, policy, oracle, batch):
    """DAgger after its roll-in, whose decode has to wait."""
    algorithm = DAgger(policy, oracle, torch.Generator(), labels)
    algorithm.ahead = [Mixed(batch, ON_POLICY, 3)]
    return algorithm


ALGORITHMS = {
    "bc": lambda policy, oracle, batch: BC(policy, label_smoothing=0.1),
    "word_kd": lambda policy, oracle, batch: WordKD(policy, oracle),
    "imitkd_full": partial(rolled_in, "distribution"),
    "imitkd": partial(rolled_in, "action"),
}


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in parts"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", POLICIES)
def test_no_step_of_supervised_learning_waits(name, algorithm, whole, device, monkeypatch):
    if not whole:
        monkeypatch.setattr(losses, "LOGITS", 10 * len(WORDS))
    policy, teacher = (
        POLICIES[name](len(WORDS), width=16, generator=torch.Generator().manual_seed(0)).to(device) for _ in range(2)
    )
    oracle = PolicyOracle(teacher, partial(pytest.fail, "nobody asked for that"), WORDS, WORDS)
    source, target = torch.full((3, 8), 5), torch.full((3, 12), 6)
    batch = Batch(torch.arange(3), source, target, LENGTH, limit=LENGTH).to(device)
    output = ALGORITHMS[algorithm](policy, oracle, batch).loss(batch, progress=0.5)
    output.loss.backward()
    norm = nn.utils.clip_grad_norm_(policy.parameters(), 5.0)
    Meter().add(1, output, norm)
    assert norm.device.type == device
    assert output.tokens == int(LENGTH.sum())
    assert oracle.queries == {"bc": 0, "imitkd": int(LENGTH[ON_POLICY].sum())}.get(algorithm, output.tokens)


def test_to_wait_would_fail(device):
    batch = Batch(torch.arange(3), torch.ones(3, 2), torch.ones(3, 12), LENGTH, limit=LENGTH).to(device)
    assert picked(batch.target, batch.actual).shape == (LENGTH.sum(),)
    with pytest.raises(NotImplementedError, match="nonzero"):
        picked(batch.target, batch.mask)
    with pytest.raises(RuntimeError, match="item"):
        batch.target.sum().item()


def test_the_first_step_that_failed_is_remembered_until_somebody_looks():
    meter = Meter()
    for step, norm in enumerate([1.0, 2.0, math.nan, 3.0, math.inf], 1):
        meter.add(step, LossOutput(torch.tensor(10.0 * step), 1), torch.tensor(norm))
        assert meter.worst[:2].tolist() == [min(step, 3), 10.0 * min(step, 3)]
