"""Generation as an MDP, on arrays: where an episode starts, what an action does, when it is over.

A state is (source, prefix); an action appends one token, with certainty; EOS terminates, the source's limit truncates
(Lin et al. 2020, section 3).  Everything is batched: one environment is a batch of one, so that the two gymnasium shells cannot
disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textgen_env.types import BOS, EOS, PAD, pad


class State(NamedTuple):
    """Where ``B`` episodes stand; the fields are the observation's keys, all int64.

    source ``[B, S]`` ends in EOS, PAD after · source_length ``[B, 1]`` EOS included ·
    prefix ``[B, T]`` the actions so far, without BOS, PAD after · prefix_length ``[B, 1]`` how many.
    """

    source: np.ndarray
    source_length: np.ndarray
    prefix: np.ndarray
    prefix_length: np.ndarray

    def copy(self) -> State:
        """A state that shares no memory with this one."""
        return State(*(part.copy() for part in self))


def initial(sources: Sequence[np.ndarray], source_limit: int, horizon: int) -> State:
    """Empty prefixes for ``sources``, rows of tokens of at most ``source_limit`` each."""
    length = np.array([[len(tokens)] for tokens in sources], dtype=np.int64).reshape(
        -1, 1
    )  # [B, 1]
    prefix = np.full((len(sources), horizon), PAD, dtype=np.int64)
    return State(pad(sources, source_limit), length, prefix, np.zeros_like(length))


def transition(
    state: State, action: np.ndarray, rows: np.ndarray | None = None, out: State | None = None
) -> State:
    """The state after ``action`` ``[B]``; only ``rows`` (indices) move if given.

    A new state, unless ``out`` (which may be ``state``) is where it goes.
    """
    if rows is None:
        rows = np.arange(len(action))
    if out is None:
        out = state.copy()
    out.prefix[rows, state.prefix_length[rows, 0]] = action[rows]
    out.prefix_length[rows] = state.prefix_length[rows] + 1
    return out


def terminated(action: np.ndarray) -> np.ndarray:
    """``[B]`` bool: the action just taken was EOS."""
    return action == EOS


def truncated(state: State, action: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """``[B]`` bool: ``action`` led to ``state``, was the last that ``limit`` ``[B]`` allows, and was not EOS."""
    return (state.prefix_length[:, 0] == limit) & (action != EOS)


def query(state: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An oracle's arguments at the states: source ``[B, S']``, prefix ``[B, T']`` (BOS first) and a mask ``[B, T']``.

    The mask is True once a row, at the state itself; columns that no row needs are cut off.
    """
    length = state.prefix_length[:, 0]
    width = int(length.max())
    prefix = np.full((len(length), width + 1), BOS, dtype=np.int64)
    prefix[:, 1:] = state.prefix[:, :width]
    mask = np.arange(width + 1) == length[:, None]  # [B, T']
    return state.source[:, : int(state.source_length.max())], prefix, mask
