"""The aggregated data set: a uniform sample of all that came, within its cap."""

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
    """Episodes ``first`` … whose source says their number, labels that are the actions plus one, and random keys."""
    number = torch.arange(first, first + count)
    length = 1 + number % width
    target = torch.where(torch.arange(width) < length[:, None], 3 + number[:, None], PAD)
    source = torch.stack([number + 3, torch.full_like(number, EOS)], 1)
    batch = Batch(number, source, target, length, limit=length, row=torch.arange(count))
    return (
        batch,
        torch.where(target == PAD, PAD, target + 1),
        Clock(seed, first, 1).uniform("key", batch.row),
    )


def numbers_kept(data):
    """Which episodes are in the data set."""
    return {number for _, number, _ in data.heap}


def size(data):
    """Bytes of its tokens."""
    return sum(tokens.nbytes for _, _, tokens in data.heap)


def test_every_episode_is_as_likely_to_be_kept_whenever_it_came_and_whatever_its_width():
    rounds, added = 300, 36
    counts = torch.zeros(added)
    longest = Reservoir(10**6)
    longest.add(*numbered(0, 36, width=4))
    for seed in range(rounds):
        data = Reservoir(capacity=10 * longest.largest)
        for first in range(0, added, 6):
            data.add(
                *numbered(first, 6, width=2 if first < 18 else 4, seed=seed)
            )  # wider halfway: fewer episodes
        assert len(data) == 10
        counts[list(numbers_kept(data))] += 1
    chance = 10 / added
    assert ((counts / rounds - chance).abs() < 4 * (chance * (1 - chance) / rounds) ** 0.5).all()


def test_it_keeps_everything_until_it_is_full_and_never_exceeds_its_cap():
    capacity, full = 40_000, []
    data = Reservoir(capacity)
    for step in range(60):
        data.add(*numbered(7 * step, 7, width=2 + step // 10))
        assert len(data) * data.largest <= capacity
        assert size(data) < capacity
        full.append(len(data) < data.seen)
        assert full[-1] or len(data) == 7 * (step + 1)
        assert not full[-1] or (len(data) + 1) * data.largest > capacity
    assert full == sorted(full)
    assert (full[0], full[-1]) == (False, True)


def test_a_sample_is_of_what_was_added():
    data = Reservoir(10_000)
    for first, width in ((0, 3), (6, 11), (12, 2)):
        data.add(*numbered(first, 6, width))
    sample, action = data.sample(400, START)
    assert len(set(sample.source[:, 0].tolist())) == 18
    number = sample.source[:, 0] - 3
    width = torch.tensor([3, 11, 2])[number // 6]
    assert torch.equal(sample.length, 1 + number % width)
    assert (sample.source[:, 1] == EOS).all()
    assert torch.equal(
        sample.target[sample.mask], (number[:, None] + 3).expand_as(sample.target)[sample.mask]
    )
    assert torch.equal(action, sample.target[sample.mask] + 1)
    assert (sample.target[~sample.mask] == PAD).all()
    assert abs(sample.tokens / 400 - 1) < 0.2


def test_another_step_samples_other_episodes_and_the_same_step_the_same():
    data = Reservoir(10_000)
    data.add(*numbered(0, 18, 3))
    first, again, later = (
        data.sample(100, clock)[0].index for clock in (START, START, START.later(1))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


@pytest.mark.parametrize("added", [0, 5, 40])
def test_its_state_is_tensors_and_restores_it(added, tmp_path):
    left, right = Reservoir(2_000), Reservoir(2_000)
    for first in range(0, added, 5):
        left.add(*numbered(first, 5, 3))
    load_state(right, state_tensors(left), tmp_path)
    for data in (left, right):
        data.add(*numbered(added, 5, 4))
    states = state_tensors(left), state_tensors(right)
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert torch.equal(left.sample(50, START)[1], right.sample(50, START)[1])


def test_a_cap_below_one_episode_is_one_clear_line():
    with pytest.raises(
        UserError, match=r"memory_mb=.* cannot hold one episode of this task; increase it"
    ):
        Reservoir(200).add(*numbered(0, 3, width=8))


def learner(task, **settings):
    return make("dagger_aggregate", task, small_policy(task), beta="constant", rate=0.0, **settings)


def test_a_round_is_one_roll_in_and_its_updates(task):
    algorithm = learner(task, every=3)
    for number, batch in enumerate((batch_of(task, 0), batch_of(task, 1))):
        with Profiler({}, "rest") as profiler:
            before = algorithm.oracle.queries
            losses = list(algorithm.updates([batch], START.later(3 * number)))
        assert len(losses) == 3
        assert profiler.counts["decoded"] == algorithm.oracle.queries - before > 0
        assert len({loss.sum.item() for loss in losses}) == 3  # each on a sample of its own
    assert algorithm.data.seen == len(batch_of(task, 0)) + len(batch_of(task, 1))


def test_labels_are_the_oracles_at_the_students_prefixes(task):
    algorithm = learner(task)
    next(algorithm.updates([batch_of(task)], START))
    sample, action = algorithm.data.sample(300, START)
    assert torch.equal(action, expert(task).action(sample.source, sample.prefix, sample.mask))
    assert not torch.equal(action, sample.target[sample.mask])  # an untrained student is wrong


def test_more_updates_than_a_round_may_have_are_refused(task):
    with pytest.raises(UserError, match="every=65"):
        learner(task, every=65)
