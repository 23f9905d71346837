"""Greedy decoding, sampling and what all decoders share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from agents.evaluation import outputs
from agents.generation import decoding
from agents.generation.beam import beam_search
from agents.generation.decoding import greedy, sample
from support.table_policy import TablePolicy, teacher_forced_score
from textgen_env.randomness import uniform
from textgen_env.types import BOS, EOS, PAD, Trajectories


def noise(rows: int, steps: int = 20) -> Tensor:
    return uniform((0, 0), "test", torch.arange(rows), steps)


DECODERS = {
    "greedy": greedy,
    "sample": lambda policy, source, limit: sample(policy, source, limit, noise(len(source))),
    "top_k": lambda policy, source, limit: sample(policy, source, limit, noise(len(source)), 3),
    "beam": lambda policy, source, limit: beam_search(policy, source, limit, width=4),
}
each_decoder = pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)


def assert_well_formed(output: Trajectories, limit: Tensor) -> None:
    """Rows end with EOS or at their limit, with padding only afterwards."""
    inside = torch.arange(output.action.shape[1]) < output.length[:, None]
    assert not torch.isin(output.action[inside], torch.tensor([PAD, BOS])).any()
    assert (output.action[~inside] == PAD).all()
    last = output.action.gather(1, output.length[:, None] - 1).squeeze(1)
    assert ((output.length <= limit) & ((last == EOS) | (output.length == limit))).all()
    assert ((output.action == EOS).sum(1) == (last == EOS)).all()


@each_decoder
def test_outputs_are_well_formed_and_scored_as_by_teacher_forcing(
    decode, random_policy, random_source
):
    for limit in (torch.tensor([1, 2, 3, 4, 20, 20] * 2), 15):
        output = decode(random_policy, random_source, limit)
        assert_well_formed(output, torch.as_tensor(limit).expand(12))
        expected = teacher_forced_score(random_policy, random_source, output)
        torch.testing.assert_close(output.score, expected, rtol=1e-5, atol=1e-5)
    assert len(output.length.unique()) > 2  # so that finished rows leave the batch


@each_decoder
def test_a_row_does_not_depend_on_its_batch(decode, random_policy, random_source):
    batched = decode(random_policy, random_source, 15)
    for rows in (1, 5):
        output = decode(random_policy, random_source[:rows], 15)
        width = output.action.shape[1]
        assert torch.equal(output.action, batched.action[:rows, :width])
        assert torch.equal(output.length, batched.length[:rows])


@each_decoder
def test_a_row_does_not_depend_on_when_others_leave(decode, random_source, monkeypatch):
    policy, limit = TablePolicy(torch.zeros(9)), torch.arange(1, 13)  # rows end at different times
    actions = []
    for share in (0.0, 1.0):  # finished rows never leave, or leave at once
        monkeypatch.setattr(decoding, "COMPACT_BELOW", share)
        actions.append(decode(policy, random_source, limit).action)
    assert torch.equal(*actions)


@each_decoder
def test_outputs_without_eos_are_truncated_at_their_limits(decode, random_source):
    endless = TablePolicy(torch.tensor([9.0, 9.0, -torch.inf, 0.0, 1.0]))
    assert decode(endless, random_source, 7).length.tolist() == [7] * 12
    limit = torch.arange(1, 13)
    assert torch.equal(decode(endless, random_source, limit).length, limit)


@each_decoder
def test_empty_batches_are_allowed_and_limits_of_zero_are_not(decode, random_policy, random_source):
    assert decode(random_policy, random_source[:0], 5).action.shape[0] == 0
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        decode(random_policy, random_source, 0)


@torch.no_grad()
def test_greedy_takes_the_argmax_of_every_step(random_policy, random_source):
    output = greedy(random_policy, random_source, 10)
    for row in range(12):
        prefix = [BOS]
        while len(prefix) <= 10 and (len(prefix) == 1 or prefix[-1] != EOS):
            logits = random_policy(random_source[row : row + 1], torch.tensor([prefix]))[0, -1]
            prefix.append(int(logits[EOS:].argmax()) + EOS)
        assert output.action[row, : output.length[row]].tolist() == prefix[1:]


def test_sampling_from_the_top_1_is_greedy(random_policy, random_source):
    sampled = sample(random_policy, random_source, 12, noise(len(random_source)), top_k=1)
    assert torch.equal(sampled.action, greedy(random_policy, random_source, 12).action)


@pytest.mark.parametrize("top_k", [0, 3])
def test_samples_follow_the_distribution_of_the_policy(top_k: int):
    """By a chi-square test at about four standard deviations."""
    logits = torch.tensor([2.0, 2.0, -1.0, 0.0, 0.5, 1.0, 1.5, -torch.inf])
    rows = 20_000
    source = torch.full((rows, 1), EOS)
    sampled = sample(TablePolicy(logits), source, 1, noise(rows, 1), top_k)
    allowed = logits.clone()
    allowed[[PAD, BOS]] = -torch.inf
    if top_k:
        allowed[allowed < allowed.topk(top_k).values[-1]] = -torch.inf
    probability = allowed.softmax(0)
    count = torch.bincount(sampled.action[:, 0], minlength=8).double()
    possible = probability > 0
    assert not count[~possible].any()
    expected = rows * probability[possible].double()
    chi_square = ((count[possible] - expected) ** 2 / expected).sum()
    freedom = int(possible.sum()) - 1
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


def test_file_names_of_outputs_depend_on_the_search(monkeypatch):
    names = [
        outputs.outputs_filename(10, width, penalty) for width in (1, 5) for penalty in (0.0, 1.0)
    ]
    assert names[0] == names[1], "greedy decoding has no length penalty"
    monkeypatch.setattr(outputs, "DECODER_VERSION", outputs.DECODER_VERSION + 1)
    assert len({*names, outputs.outputs_filename(10, 1, 0.0)}) == 4
