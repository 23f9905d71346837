"""DAgger with aggregation: the dataset is a uniform sample within its memory limit."""

from __future__ import annotations

import pytest
import torch

from agents.algorithms import Clock
from agents.algorithms.dagger_aggregate import Reservoir
from agents.training.checkpoint import load_state, state_tensors
from support.learners import START, batch_of, make, small_policy
from textgen_env.errors import UserError
from textgen_env.profiler import Profiler
from textgen_env.tasks.task import expert
from textgen_env.types import EOS, PAD, Batch


def numbered(first, count, width, seed=0):
    """Numbered episodes, to be added to a ``Reservoir``.

    The source of episode n is n + 3, its actions are n + 3, and its labels n + 4.
    """
    number = torch.arange(first, first + count)
    length = 1 + number % width
    target = torch.where(torch.arange(width) < length[:, None], 3 + number[:, None], PAD)
    source = torch.stack([number + 3, torch.full_like(number, EOS)], 1)
    batch = Batch(number, source, target, length, limit=length, row=torch.arange(count))
    labels = torch.where(target == PAD, PAD, target + 1)
    return batch, labels, Clock(seed, first, 1).uniform("key", batch.row)


def draw(data, tokens, clock=START):
    """A sample of about as many tokens."""
    data.step, data.rows, data.tokens = clock.step, 1, tokens
    return data.sample(torch.zeros(1, dtype=torch.int64), clock)


# --- the dataset


def test_every_episode_is_equally_likely_to_be_kept_whenever_added_and_however_long():
    rounds, added, kept = 300, 36, 10
    counts = torch.zeros(added)
    longest = Reservoir(10**6)
    longest.add(*numbered(0, added, width=4))
    for seed in range(rounds):
        data = Reservoir(capacity=kept * longest.largest)
        for first in range(0, added, 6):
            data.add(*numbered(first, 6, width=2 if first < 18 else 4, seed=seed))
        assert len(data) == kept
        counts[[number for _, number, _ in data.heap]] += 1
    p = kept / added
    assert ((counts / rounds - p).abs() < 4 * (p * (1 - p) / rounds) ** 0.5).all()


def test_everything_is_kept_until_the_memory_limit():
    capacity, full = 40_000, []
    data = Reservoir(capacity)
    for step in range(60):
        data.add(*numbered(7 * step, 7, width=2 + step // 10))
        assert len(data) * data.largest <= capacity
        assert sum(tokens.nbytes for _, _, tokens in data.heap) < capacity
        full.append(len(data) < data.seen)
        assert full[-1] or len(data) == 7 * (step + 1)
        assert not full[-1] or (len(data) + 1) * data.largest > capacity
    assert full == sorted(full)
    assert (full[0], full[-1]) == (False, True)


def test_a_sample_contains_the_added_episodes_and_labels():
    data = Reservoir(10_000)
    for first, width in ((0, 3), (6, 11), (12, 2)):
        data.add(*numbered(first, 6, width))
    sample, label = draw(data, 400)
    number = sample.source[:, 0] - 3
    assert len(number.unique()) == 18
    width = torch.tensor([3, 11, 2])[number // 6]
    assert torch.equal(sample.length, 1 + number % width)
    assert (sample.source[:, 1] == EOS).all()
    action = (number[:, None] + 3).expand_as(sample.target)[sample.mask]
    assert torch.equal(sample.target[sample.mask], action)
    assert torch.equal(label, action + 1)
    assert (sample.target[~sample.mask] == PAD).all()
    assert abs(sample.tokens / 400 - 1) < 0.2


def test_samples_depend_on_the_step():
    data = Reservoir(10_000)
    data.add(*numbered(0, 18, 3))
    clocks = START, START, START.later(1)
    first, again, later = (draw(data, 100, clock)[0].index for clock in clocks)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


@pytest.mark.parametrize("added", [0, 5, 40])
def test_a_restored_data_set_continues_identically(added, tmp_path):
    original, restored = Reservoir(2_000), Reservoir(2_000)
    for first in range(0, added, 5):
        original.add(*numbered(first, 5, 3))
    load_state(restored, state_tensors(original), tmp_path)
    for data in (original, restored):
        data.add(*numbered(added, 5, 4))
    states = state_tensors(original), state_tensors(restored)
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert torch.equal(draw(original, 50)[1], draw(restored, 50)[1])


def test_a_memory_limit_below_one_episode_is_an_error():
    message = r"memory_mb=.* cannot hold one episode of this task; increase it"
    with pytest.raises(UserError, match=message):
        Reservoir(200).add(*numbered(0, 3, width=8))


# --- the algorithm


def on_policy_learner(task, **settings):
    return make("dagger_aggregate", task, small_policy(task), beta="constant", rate=0.0, **settings)


def test_an_iteration_is_one_roll_in_and_several_updates(task):
    algorithm = on_policy_learner(task, every=3)
    for number, batch in enumerate((batch_of(task, 0), batch_of(task, 1))):
        with Profiler({}, "rest") as profiler:
            before = algorithm.oracle.queries
            losses = list(algorithm.updates([batch], START.later(3 * number)))
        assert profiler.counts["decoded"] == algorithm.oracle.queries - before > 0
        assert len({loss.sum.item() for loss in losses}) == 3  # three different samples
    assert algorithm.data.seen == len(batch_of(task, 0)) + len(batch_of(task, 1))


def test_labels_are_the_oracles_actions_on_the_students_prefixes(task):
    algorithm = on_policy_learner(task)
    next(algorithm.updates([batch_of(task)], START))
    sample, label = draw(algorithm.data, 300)
    assert torch.equal(label, expert(task).action(sample.source, sample.prefix, sample.mask))
    assert not torch.equal(label, sample.target[sample.mask])  # an untrained student is wrong
