"""Tests of the identities of ``textgen_env.types.Policy``.

A test module imports them all and defines a fixture ``policy``.
"""

import pytest
import torch
from torch import nn

from support.policies import close, decode, prefixes, sources, tokens
from textgen_env.types import BOS, PAD


def test_steps_with_gradients_equal_teacher_forcing(policy: nn.Module):
    source, prefix = sources([3, 2], 3), prefixes(2, 4)
    stepped, _ = decode(policy, policy.start(source, 4), prefix)
    close(stepped, policy(source, prefix))


@torch.no_grad()
def test_cached_equals_uncached_beyond_the_initial_cache(policy: nn.Module):
    source, prefix = sources([6, 3, 1], 6), prefixes(3, 70)
    close(decode(policy, policy.start(source, 70), prefix)[0], policy(source, prefix))


@torch.no_grad()
def test_batched_equals_single(policy: nn.Module):
    lengths = [5, 2, 7]
    source, prefix = sources(lengths, 7), prefixes(3, 6)
    batched = policy(source, prefix)
    for row, length in enumerate(lengths):
        close(batched[row : row + 1], policy(source[row : row + 1, :length], prefix[row : row + 1]))


@torch.no_grad()
def test_padding_of_source_or_prefix_changes_nothing(policy: nn.Module):
    source, prefix = sources([4, 3], 4), prefixes(2, 5)
    wide_source = torch.cat([source, torch.full((2, 9), PAD)], 1)
    wide_prefix = torch.cat([prefix, torch.full((2, 4), PAD)], 1)
    close(policy(wide_source, wide_prefix)[:, :5], policy(source, prefix))
    close(decode(policy, policy.start(wide_source, 5), prefix)[0], policy(source, prefix))


@torch.no_grad()
def test_logits_depend_on_the_past_and_the_source_but_not_on_the_future(policy: nn.Module):
    source, prefix = sources([5, 4], 5), prefixes(2, 8)
    logits = policy(source, prefix)
    for time in (0, 3):
        changed = prefix.clone()
        changed[:, time + 1 :] = prefixes(2, 8, seed=9)[:, time + 1 :]
        changed_logits = policy(source, changed)
        close(changed_logits[:, : time + 1], logits[:, : time + 1])
        assert (changed_logits[:, -1] - logits[:, -1]).abs().max() > 1e-3
    assert (policy(sources([5, 4], 5, seed=8), prefix) - logits).abs().amax((1, 2)).min() > 1e-3


@torch.no_grad()
def test_mask_selects_positions_in_row_major_order(policy: nn.Module):
    source, prefix = sources([5, 4, 2], 5), prefixes(3, 6)
    mask = torch.arange(6) < torch.tensor([[6], [1], [4]])
    close(policy(source, prefix, mask), policy(source, prefix)[mask])


@pytest.mark.parametrize(
    "index", [[2, 0, 1], [1], [0, 0, 2, 2], [2, 2, 2, 0, 1], [3, 1, 0, 2], []], ids=str
)
@torch.no_grad()
def test_selected_rows_continue_as_in_a_batch_of_their_own(policy: nn.Module, index: list[int]):
    source, prefix = sources([6, 3, 4, 5], 6), prefixes(4, 9)
    rows = torch.tensor(index, dtype=torch.int64)
    state = decode(policy, policy.start(source, 9), prefix[:, :4])[1].select(rows)
    if index:
        close(decode(policy, state, prefix[rows, 4:])[0], policy(source[rows], prefix[rows])[:, 4:])


@torch.no_grad()
def test_select_follows_beams(policy: nn.Module):
    """Start hypotheses, reorder them within a source, drop a source, and end with unequal beams."""
    source = sources([6, 3, 4], 6)
    state, owner = policy.start(source, 40), torch.arange(3)
    prefix = torch.full((3, 1), BOS)
    selections = [
        [0, 0, 0, 1, 1, 1, 2, 2, 2],
        [1, 0, 0, 5, 4, 4, 8, 6, 7],
        [6, 7, 8, 2, 1, 0],
        [5, 0, 0, 1],
        [0, 2, 2, 2, 1, 3],
    ]
    for time, selection in enumerate(selections):
        logits, state = policy.step(prefix[:, -1], state)
        close(logits, policy(source[owner], prefix)[:, -1])
        index = torch.tensor(selection)
        state, owner, prefix = state.select(index), owner[index], prefix[index]
        prefix = torch.cat([prefix, tokens(len(index), 1, seed=20 + time)], 1)
    close(policy.step(prefix[:, -1], state)[0], policy(source[owner], prefix)[:, -1])


def test_logits_and_gradients_of_an_empty_source_are_finite(policy: nn.Module):
    logits = policy(torch.full((2, 3), PAD), prefixes(2, 4))
    logits.square().sum().backward()
    assert logits.isfinite().all()
    assert all(
        weight.grad is None or weight.grad.isfinite().all() for weight in policy.parameters()
    )
