"""Keyed random numbers: uniform, independent, and of a row whatever batch it stands in."""

from __future__ import annotations

import itertools

import pytest
import torch

from textgen_env.randomness import derive_seed, uniform

ROW = torch.arange(200)


def test_the_generator_is_splitmix64():
    """Against its definition in Python's integers."""
    increment, whole = 0x9E3779B97F4A7C15, 2**64

    def mix(x):
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % whole
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % whole
        return x ^ (x >> 31)

    seed = 1234567
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert [mix((seed + n * increment) % whole) for n in range(1, 6)] == published
    state = derive_seed((), "x")  # the hash of a purpose alone, less its last bit
    candidates = [2 * state, 2 * state + 1]
    streams = [
        mix((candidate + (row + 1) * increment) % whole)
        for candidate in candidates
        for row in (0, 5)
    ]
    expected = [
        [(mix((stream + n * increment) % whole) >> 40) * 2.0**-24 for n in (1, 2, 3)]
        for stream in streams
    ]
    numbers = uniform((), "x", torch.tensor([0, 5]), 3).tolist()
    assert numbers in (expected[:2], expected[2:])


@pytest.mark.parametrize("shape", [(), (4,), (3, 5)])
def test_a_row_has_the_same_numbers_in_whatever_batch(shape):
    whole = uniform((3, 8), "coin", ROW, *shape)
    assert whole.shape == (len(ROW), *shape)
    assert whole.dtype == torch.float32
    which = torch.tensor([7, 3, 199, 7])
    assert torch.equal(uniform((3, 8), "coin", ROW[which], *shape), whole[which])
    assert uniform((3, 8), "coin", ROW[:0], *shape).shape == (0, *shape)


def test_fewer_steps_are_the_first_of_more():
    """So that a part of a batch, whose limits may be smaller, draws what the batch does."""
    assert torch.equal(uniform((0, 0), "noise", ROW, 5), uniform((0, 0), "noise", ROW, 9)[:, :5])


def test_seed_step_purpose_and_row_all_matter():
    keys = [((0, 0), "a"), ((1, 0), "a"), ((0, 1), "a"), ((0, 0), "b"), ((1, 1), "a")]
    streams = [uniform(key, purpose, ROW, 50).flatten() for key, purpose in keys]
    for left, right in itertools.combinations(streams, 2):
        assert abs(torch.corrcoef(torch.stack([left, right]))[0, 1]) < 4 / len(left) ** 0.5
    rows = streams[0].view(len(ROW), 50)
    assert len({tuple(row.tolist()) for row in rows}) == len(ROW)


def test_they_are_uniform_from_0_to_1_without_it():
    numbers = uniform((5, 6), "noise", torch.arange(1000), 100).flatten()
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = torch.histc(numbers, bins=20, min=0, max=1)
    expected = len(numbers) / 20
    assert (
        (counts - expected) ** 2 / expected
    ).sum() < 43.8  # χ² with 19 degrees of freedom, p = 0.001
    steps = numbers.view(1000, 100)
    correlation = torch.corrcoef(torch.stack([steps[:, :-1].flatten(), steps[:, 1:].flatten()]))[
        0, 1
    ]
    assert abs(correlation) < 4 / 99_000**0.5


def test_a_seed_is_one_that_torch_takes_and_depends_on_its_key():
    seeds = {
        derive_seed((seed, step), purpose)
        for seed in range(20)
        for step in range(20)
        for purpose in ("a", "b")
    }
    assert len(seeds) == 800
    for seed in seeds:
        torch.Generator().manual_seed(seed)
