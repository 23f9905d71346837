"""The MDP as pure functions on arrays: initial states, transitions, episode ends.

A state is (source, prefix). An action appends one token; EOS terminates the episode, the source's
limit truncates it (Lin et al. 2020, section 3). Everything is batched; a single environment is a
batch of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textgen_env.types import BOS, EOS, PAD, pad


class EnvState(NamedTuple):
    """The states of ``B`` episodes. The fields are the observation's keys; all are int64.

    Args:
        source: ``[B, S]``, ends in EOS, padded with PAD
        source_length: ``[B, 1]``, EOS included
        prefix: ``[B, T]``, the actions so far, without BOS, padded with PAD
        prefix_length: ``[B, 1]``, the number of actions so far
    """

    source: np.ndarray
    source_length: np.ndarray
    prefix: np.ndarray
    prefix_length: np.ndarray

    def copy(self) -> EnvState:
        """Copy all four arrays."""
        return EnvState(*(array.copy() for array in self))


def initial(sources: Sequence[np.ndarray], source_limit: int, horizon: int) -> EnvState:
    """Empty prefixes for ``sources``, each a row of at most ``source_limit`` tokens."""
    length = np.array([len(tokens) for tokens in sources], dtype=np.int64)[:, None]  # [B, 1]
    prefix = np.full((len(sources), horizon), PAD, dtype=np.int64)
    return EnvState(pad(sources, source_limit), length, prefix, np.zeros_like(length))


def transition(
    state: EnvState, action: np.ndarray, rows: np.ndarray | None = None, out: EnvState | None = None
) -> EnvState:
    """Append one action to each prefix.

    Args:
        state: the states before the action
        action: ``[B]``
        rows: indices of the rows that act; default: all
        out: where to write the new states, possibly ``state`` itself; default: a copy
    """
    if rows is None:
        rows = np.arange(len(action))
    if out is None:
        out = state.copy()
    out.prefix[rows, state.prefix_length[rows, 0]] = action[rows]
    out.prefix_length[rows] = state.prefix_length[rows] + 1
    return out


def terminated(action: np.ndarray) -> np.ndarray:
    """``[B]`` bool: the last action was EOS."""
    return action == EOS


def truncated(state: EnvState, action: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """``[B]`` bool: ``action``, which led to ``state``, reached ``limit`` and was not EOS."""
    return (state.prefix_length[:, 0] == limit) & (action != EOS)


def oracle_inputs(state: EnvState) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arguments of an oracle query: source ``[B, S']``, prefix ``[B, T']``, mask ``[B, T']``.

    The prefix starts with BOS. The mask selects one position per row, the current state. Columns
    that are padding in every row are dropped.
    """
    length = state.prefix_length[:, 0]
    width = int(length.max())
    prefix = np.full((len(length), width + 1), BOS, dtype=np.int64)
    prefix[:, 1:] = state.prefix[:, :width]
    mask = np.arange(width + 1) == length[:, None]  # [B, T']
    return state.source[:, : int(state.source_length.max())], prefix, mask
