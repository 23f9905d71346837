"""Greedy decoding and sampling with any policy, and the loop that they share.

A row ends with EOS or at its limit; PAD and BOS are never generated. No gradient flows; evaluation mode and precision are
the caller's. ``Trajectories.score`` sums the log-probabilities of the generated tokens under the policy's whole
distribution, as teacher forcing gives them; NaN with ``scored=False``, which saves the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from textgen_env.types import BOS, EOS, LOG_ZERO, PAD, Stepper, Trajectories

Step = Callable[[Tensor, Any, Tensor, int], tuple[Tensor, Any]]
DECODER = 2  # version of the search rules: part of the name of every cache of generated text
DROP = 0.75  # finished rows leave the batch once fewer than this share of its rows is active


def direct(
    decode: Callable[..., Trajectories],
    policy: Stepper,
    most: int,
    rows: dict[str, Tensor],
    **settings: Any,
) -> Trajectories:
    """Run a decoder here and now.

    Args:
        decode: ``(policy, most, **rows, **settings)``, at a module's top level.
        policy: generates.
        most: the largest limit.
        rows: tensors ``[B, ...]``.
        settings: the decoder's own; ``width``, if it has one, is how many hypotheses it keeps for a row.
    """
    return decode(policy, most, **rows, **settings)


runner: Callable[..., Trajectories] = direct  # may be replaced by what splits rows over processes


def greedy(
    policy: Stepper,
    source: Tensor,
    limit: int | Tensor,
    forced: Tensor | None = None,
    scored: bool = True,
) -> Trajectories:
    """The most likely token at every step.

    Args:
        policy: generates one cached step at a time.
        source: ``[B, S]``.
        limit: on the length, EOS included: one number, or int64 ``[B]``.
        forced: ``[B, F]`` first tokens; PAD where the policy is free.
        scored: whether to compute scores.
    """
    return decode(policy, source, limit, scored, forced=forced)


def sample(
    policy: Stepper,
    source: Tensor,
    limit: int | Tensor,
    noise: Tensor,
    top_k: int = 0,
    scored: bool = True,
) -> Trajectories:
    """A token of the policy's distribution at every step.

    Args:
        policy: generates one cached step at a time.
        source: ``[B, S]``.
        limit: on the length, EOS included: one number, or int64 ``[B]``.
        noise: uniform numbers ``[B, T]``, one for every step that ``limit`` allows.
        top_k: among how many most likely tokens; 0: all.
        scored: whether to compute scores.
    """
    return decode(policy, source, limit, scored, top_k, noise=noise)


def decode(
    policy: Stepper,
    source: Tensor,
    limit: int | Tensor,
    scored: bool,
    top_k: int = 0,
    **optional: Tensor | None,
) -> Trajectories:
    """``greedy``, or with ``noise`` ``sample``; with ``forced`` first tokens in either case."""
    limit, most = limits(source, limit)
    given = {name: x.to(source.device) for name, x in optional.items() if x is not None}
    if "noise" in given and given["noise"].shape[1] < most:
        raise ValueError(f"noise has {given['noise'].shape[1]} steps, and {most} may be generated")
    rows = {"source": source, "limit": limit, **given}
    return runner(_decode, policy, most, rows, scored=scored, top_k=top_k)


@torch.no_grad()
def _decode(policy: Stepper, most: int, scored: bool, top_k: int, **rows: Tensor) -> Trajectories:
    noise, forced = rows.get("noise"), rows.get("forced")
    gain = torch.full((len(rows["source"]), most), torch.nan, device=rows["source"].device)

    def step(token: Tensor, state: Any, row: Tensor, time: int) -> tuple[Tensor, Any]:
        logits, state = policy.step(token, state)
        token = pick(logits, None if noise is None else noise[row, time], top_k)
        if forced is not None and time < forced.shape[1]:
            token = torch.where(forced[row, time] == PAD, token, forced[row, time])
        if scored:
            log_probs = logits.log_softmax(-1, dtype=torch.float32)
            gain[row, time] = log_probs.gather(1, token[:, None]).squeeze(1)
        return token, state

    episodes = roll(step, lambda: policy.start(rows["source"], most), rows["limit"], most)
    score = gain[:, : episodes.action.shape[1]].where(episodes.action != PAD, 0.0).sum(1)
    return Trajectories(episodes.action, episodes.length, score if scored else episodes.score)


@torch.no_grad()
def roll(step: Step, start: Callable[[], Any], limit: Tensor, most: int) -> Trajectories:
    """The loop of every decoder with one hypothesis a row. Finished rows leave the batch.

    Args:
        step: (last token ``[N]``, state, places ``[N]`` of the rows among the B, time) → next token ``[N]``, state.
        start: gives the state before the first step, of B rows, as ``select`` wants it.
        limit: ``[B]`` on the length.
        most: the largest limit.

    Returns:
        B rows without scores.
    """
    row = torch.arange(len(limit), device=limit.device)  # [N] of the rows in the batch
    action = torch.full((len(limit), most), PAD, device=limit.device)
    token, active = torch.full_like(row, BOS), torch.ones_like(row, dtype=torch.bool)  # [N] each
    state = start() if len(row) else None
    for time in range(most if len(row) else 0):
        token, state = step(token, state, row, time)
        token = token.where(active, PAD)
        action[row, time] = token
        active = active & (token != EOS) & (limit[row] > time + 1)
        count = int(active.sum())
        if not count:
            break
        if count < DROP * len(row):
            index = active.nonzero().squeeze(1)
            row, token, active, state = select((row, token, active, state), index)
    length = (action != PAD).sum(1)
    score = torch.full(length.shape, torch.nan, device=length.device)
    return trimmed(Trajectories(action, length, score))


def select(state: Any, index: Tensor) -> Any:
    """Rows ``index`` of a decode's state: of a tensor, None, what has a ``select``, and tuples and dicts of these."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        return state[index]
    if hasattr(state, "select"):
        return state.select(index)
    if isinstance(state, dict):
        return {name: select(value, index) for name, value in state.items()}
    return tuple(select(part, index) for part in state)


def pick(logits: Tensor, noise: Tensor | None = None, top_k: int = 0) -> Tensor:
    """A token ``[N]`` other than PAD and BOS for each row of ``logits`` ``[N, V]``.

    Args:
        logits: ``[N, V]``.
        noise: uniform numbers ``[N]`` to sample with; None: the most likely token.
        top_k: sample among this many most likely tokens; 0: among all.
    """
    logits = logits[:, EOS:]
    if noise is None or top_k == 1:
        return most_likely(logits) + EOS
    if not top_k:
        return draw(logits, noise[:, None]).squeeze(1) + EOS
    top, token = logits.topk(min(top_k, logits.shape[1]))  # [N, top_k] each
    return token.gather(1, draw(top, noise[:, None])).squeeze(1) + EOS


def most_likely(logits: Tensor) -> Tensor:
    """``[..., V]`` → its argmax ``[...]``; on a CPU by NumPy, whose argmax is vectorized."""
    if logits.device.type != "cpu":
        return logits.argmax(-1)
    return torch.from_numpy(logits.detach().float().numpy().argmax(-1))


def draw(logits: Tensor, noise: Tensor) -> Tensor:
    """Tokens ``[N, K]`` of the distributions of ``logits`` ``[N, V]``, by the uniform ``noise`` ``[N, K]`` in [0, 1)."""
    mass = logits.float().softmax(-1).cumsum(-1)  # [N, V]
    return torch.searchsorted(mass, noise * mass[:, -1:], right=True).clamp_(max=mass.shape[1] - 1)


def allowed_log_probs(logits: Tensor) -> Tensor:
    """The log-probabilities that are sampled from: ``[N, V]``, float32, normalized without PAD and BOS."""
    never = torch.tensor([PAD, BOS], device=logits.device)
    return logits.float().index_fill(-1, never, LOG_ZERO).log_softmax(-1)


def limits(source: Tensor, limit: int | Tensor) -> tuple[Tensor, int]:
    """The limit of each row of ``source``, ``[B]``, and the largest of them."""
    limit = torch.as_tensor(limit, device=source.device).expand(len(source))
    if len(limit) and int(limit.min()) < 1:
        raise ValueError(f"limit must be at least 1, not {int(limit.min())}")
    return limit, int(limit.max()) if len(limit) else 1


def trimmed(episodes: Trajectories) -> Trajectories:
    """``episodes`` as wide as the longest of them."""
    longest = int(episodes.length.max()) if len(episodes.length) else 0
    return Trajectories(episodes.action[:, :longest], episodes.length, episodes.score)
