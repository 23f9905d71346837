"""Keyed random numbers are uniform, independent, and the same for a row in any batch."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy import stats

from textgen_env.randomness import derive_seed, uniform

ROW = torch.arange(200)
INCREMENT = 0x9E3779B97F4A7C15


def mix(x: int) -> int:
    """SplitMix64's output function in Python integers."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
    return x ^ (x >> 31)


def test_reference_splitmix64_matches_published_outputs():
    outputs = [mix((1234567 + n * INCREMENT) % 2**64) for n in range(1, 6)]
    assert outputs == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_uniform_matches_reference_splitmix64():
    half = derive_seed((), "x")  # the state without its last bit, so there are two candidates
    expected = []
    for state in (2 * half, 2 * half + 1):
        streams = [mix((state + (row + 1) * INCREMENT) % 2**64) for row in (0, 5)]
        expected.append(
            [
                [(mix((stream + n * INCREMENT) % 2**64) >> 40) * 2.0**-24 for n in (1, 2, 3)]
                for stream in streams
            ]
        )
    assert uniform((), "x", torch.tensor([0, 5]), 3).tolist() in expected


@pytest.mark.parametrize("shape", [(), (4,), (3, 5)])
def test_row_has_the_same_numbers_in_any_batch(shape):
    numbers = uniform((3, 8), "coin", ROW, *shape)
    assert numbers.shape == (len(ROW), *shape)
    assert numbers.dtype == torch.float32
    index = torch.tensor([7, 3, 199, 7])
    assert torch.equal(uniform((3, 8), "coin", ROW[index], *shape), numbers[index])
    assert uniform((3, 8), "coin", ROW[:0], *shape).shape == (0, *shape)


def test_fewer_numbers_are_a_prefix_of_more():
    """A batch that is split into chunks with smaller limits draws the same samples."""
    assert torch.equal(uniform((0, 0), "noise", ROW, 5), uniform((0, 0), "noise", ROW, 9)[:, :5])


def test_streams_of_different_keys_are_uncorrelated():
    keys = [((0, 0), "a"), ((1, 0), "a"), ((0, 1), "a"), ((0, 0), "b"), ((1, 1), "a")]
    streams = [uniform(key, purpose, ROW, 50).flatten() for key, purpose in keys]
    for first, second in itertools.combinations(streams, 2):
        assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 4 / len(first) ** 0.5
    rows = streams[0].view(len(ROW), 50)
    assert len({tuple(row.tolist()) for row in rows}) == len(ROW)


def test_numbers_are_uniform_on_the_half_open_unit_interval():
    numbers = uniform((5, 6), "noise", torch.arange(1000), 100)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = torch.histc(numbers, bins=20, min=0, max=1)
    assert stats.chisquare(counts.double().numpy()).pvalue > 0.001
    pairs = torch.stack([numbers[:, :-1].flatten(), numbers[:, 1:].flatten()])
    assert abs(torch.corrcoef(pairs)[0, 1]) < 4 / pairs.shape[1] ** 0.5


def test_derived_seeds_are_distinct_and_accepted_by_torch():
    seeds = {
        derive_seed((seed, step), purpose)
        for seed, step in itertools.product(range(20), range(20))
        for purpose in ("a", "b")
    }
    assert len(seeds) == 800
    for seed in seeds:
        torch.Generator().manual_seed(seed)
