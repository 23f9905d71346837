"""The caching oracle."""

from __future__ import annotations

import pytest
import torch

from support.oracles import toy_teacher
from textgen_env.oracles.cached import CachedOracle
from textgen_env.tasks.task import expert
from textgen_env.types import BOS, EOS, PAD


@pytest.mark.parametrize("method", ["action", "log_probs"])
def test_cached_answers_are_bitwise_equal_and_queried_once(method, task, query):
    source, prefix, mask = query
    oracle, cached = expert(task), CachedOracle(expert(task))
    answer, cached_answer = getattr(oracle, method), getattr(cached, method)
    positions = int(mask.sum())
    for _ in range(3):
        assert torch.equal(cached_answer(source, prefix, mask), answer(source, prefix, mask))
    assert (cached.queries, cached.hits) == (positions, 2 * positions)
    assert torch.equal(cached_answer(source, prefix), answer(source, prefix))
    assert cached.queries == 28  # the rest


def test_one_query_may_repeat_a_state(task):
    cached, oracle = CachedOracle(toy_teacher(task)), toy_teacher(task)
    source, prefix = torch.tensor([[5, EOS], [5, EOS], [6, EOS]]), torch.tensor([[BOS, 5]] * 3)
    for _ in range(2):
        assert torch.equal(cached.action(source, prefix), oracle.action(source, prefix))


def test_cache_key_is_the_source_without_padding_and_the_prefix(task, query):
    source, prefix, _ = query
    cached = CachedOracle(toy_teacher(task))
    cached.log_probs(source, prefix)
    cached.log_probs(torch.cat([source, torch.full((4, 2), PAD)], dim=1), prefix)
    assert cached.queries == 28
    changed = prefix.clone()
    changed[:, 3] += 1
    torch.testing.assert_close(
        cached.log_probs(source, changed), toy_teacher(task).log_probs(source, changed)
    )
    assert cached.queries == 28 + 4 * 4  # positions 3 to 6 have a new prefix
    torch.testing.assert_close(
        cached.log_probs(source.flip(0), prefix),
        toy_teacher(task).log_probs(source.flip(0), prefix),
    )


def test_cache_evicts_the_least_recently_used_answers(task, query):
    source, prefix, _ = query
    entry = 4 * len(task.vocabulary) + CachedOracle.ENTRY_BYTES
    cached = CachedOracle(toy_teacher(task), max_bytes=7 * entry)
    cached.log_probs(source[:1], prefix[:1])
    cached.log_probs(source[1:2], prefix[1:2, :2])  # evicts the two oldest
    assert cached.bytes == 7 * entry
    cached.log_probs(source[1:2], prefix[1:2, :2])
    cached.log_probs(source[:1], prefix[:1], torch.arange(7)[None] >= 2)
    assert cached.queries == 9
    cached.log_probs(source[:1], prefix[:1, :1])
    assert cached.queries == 10
    small = CachedOracle(toy_teacher(task), max_bytes=2 * entry)
    for row in (0, 1, 0, 2, 0):  # row 0 is never the least recently used
        small.log_probs(source[row : row + 1], prefix[row : row + 1, :1])
    assert small.queries == 3


def test_empty_cache_forwards_every_query(task, query):
    source, prefix, _ = query
    cached, expected = CachedOracle(toy_teacher(task), max_bytes=0), toy_teacher(task)
    for _ in range(2):
        log_probs = cached.log_probs(source, prefix)
        torch.testing.assert_close(log_probs, expected.log_probs(source, prefix))
    assert (cached.bytes, cached.hits) == (0, 0)
