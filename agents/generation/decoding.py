"""Greedy decoding and sampling for any policy, and the loop they share.

A row ends with EOS or at its limit; PAD and BOS are never generated. No gradient flows; the caller
sets eval mode and precision. ``Trajectories.score`` sums the log-probabilities of the generated
tokens over the policy's whole vocabulary, as teacher forcing does; ``scored=False`` saves the time
and leaves NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from textgen_env.types import BOS, EOS, LOG_ZERO, PAD, Stepper, Trajectories

Step = Callable[[Tensor, Any, Tensor, int], tuple[Tensor, Any]]
DECODER_VERSION = 2  # of the search rules; part of the name of every cache of generated text
COMPACT_BELOW = 0.75  # finished rows leave the batch once fewer than this share is active


def run_in_process(
    decode: Callable[..., Trajectories],
    policy: Stepper,
    max_new_tokens: int,
    rows: dict[str, Tensor],
    **settings: Any,
) -> Trajectories:
    """Run a decoding function in this process.

    Args:
        decode: ``(policy, max_new_tokens, **rows, **settings)``, a module-level function.
        policy: the policy that generates.
        max_new_tokens: the largest limit.
        rows: tensors ``[B, ...]``.
        settings: further arguments of ``decode``; ``width``, if present, is its number of
            hypotheses per row.
    """
    return decode(policy, max_new_tokens, **rows, **settings)


runner: Callable[..., Trajectories] = run_in_process  # replaceable


def greedy(
    policy: Stepper,
    source: Tensor,
    limit: int | Tensor,
    forced: Tensor | None = None,
    scored: bool = True,
) -> Trajectories:
    """Generate the most likely token at every step.

    Args:
        policy: decodes one cached step at a time.
        source: ``[B, S]``.
        limit: maximum length, EOS included: one number, or int64 ``[B]``.
        forced: ``[B, F]`` first tokens of each row; PAD where the policy is free.
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
    """Sample a token from the policy's distribution at every step.

    Args:
        policy: decodes one cached step at a time.
        source: ``[B, S]``.
        limit: maximum length, EOS included: one number, or int64 ``[B]``.
        noise: uniform noise in [0, 1), ``[B, T]``, at least one number per step.
        top_k: sample from this many most likely tokens; 0: all.
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
    """Decode greedily, or sample if ``noise`` is given; ``forced`` tokens work with either."""
    limit, max_new_tokens = row_limits(source, limit)
    extra = {name: x.to(source.device) for name, x in optional.items() if x is not None}
    if "noise" in extra and extra["noise"].shape[1] < max_new_tokens:
        steps = extra["noise"].shape[1]
        raise ValueError(f"noise has {steps} steps, but the limit allows {max_new_tokens}")
    rows = {"source": source, "limit": limit, **extra}
    return runner(_decode, policy, max_new_tokens, rows, scored=scored, top_k=top_k)


@torch.no_grad()
def _decode(
    policy: Stepper, max_new_tokens: int, scored: bool, top_k: int, **rows: Tensor
) -> Trajectories:
    source, noise, forced = rows["source"], rows.get("noise"), rows.get("forced")
    gain = torch.full((len(source), max_new_tokens), torch.nan, device=source.device)

    def step(token: Tensor, state: Any, row: Tensor, time: int) -> tuple[Tensor, Any]:
        logits, state = policy.step(token, state)
        token = pick(logits, None if noise is None else noise[row, time], top_k)
        if forced is not None and time < forced.shape[1]:
            token = torch.where(forced[row, time] == PAD, token, forced[row, time])
        if scored:
            log_probs = logits.log_softmax(-1, dtype=torch.float32)
            gain[row, time] = log_probs.gather(1, token[:, None]).squeeze(1)
        return token, state

    start = partial(policy.start, source, max_new_tokens)
    episodes = decode_loop(step, start, rows["limit"], max_new_tokens)
    score = gain[:, : episodes.action.shape[1]].where(episodes.action != PAD, 0.0).sum(1)
    return Trajectories(episodes.action, episodes.length, score if scored else episodes.score)


@torch.no_grad()
def decode_loop(
    step: Step, start: Callable[[], Any], limit: Tensor, max_new_tokens: int
) -> Trajectories:
    """The loop of every decoder with one hypothesis per row. Finished rows leave the batch.

    Args:
        step: (last token ``[N]``, state, indices ``[N]`` of the active rows, time) → next token
            ``[N]``, state.
        start: returns the state of all B rows before the first step, in a form that
            ``select_rows`` accepts.
        limit: ``[B]`` maximum lengths.
        max_new_tokens: the largest limit.

    Returns:
        B rows without scores.
    """
    row = torch.arange(len(limit), device=limit.device)  # [N] rows still in the batch
    action = torch.full((len(limit), max_new_tokens), PAD, device=limit.device)
    token, active = torch.full_like(row, BOS), torch.ones_like(row, dtype=torch.bool)  # [N] each
    state = start() if len(row) else None
    for time in range(max_new_tokens if len(row) else 0):
        token, state = step(token, state, row, time)
        token = token.where(active, PAD)
        action[row, time] = token
        active = active & (token != EOS) & (limit[row] > time + 1)
        count = int(active.sum())
        if not count:
            break
        if count < COMPACT_BELOW * len(row):
            index = active.nonzero().squeeze(1)
            row, token, active, state = select_rows((row, token, active, state), index)
    length = (action != PAD).sum(1)
    score = torch.full(length.shape, torch.nan, device=length.device)
    return trim(Trajectories(action, length, score))


def select_rows(state: Any, index: Tensor) -> Any:
    """Rows ``index`` of a tensor, None, anything with ``select``, or a tuple or dict of these."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        return state[index]
    if hasattr(state, "select"):
        return state.select(index)
    if isinstance(state, dict):
        return {name: select_rows(value, index) for name, value in state.items()}
    return tuple(select_rows(value, index) for value in state)


def pick(logits: Tensor, noise: Tensor | None = None, top_k: int = 0) -> Tensor:
    """Choose a token other than PAD and BOS for each row.

    Args:
        logits: ``[N, V]``.
        noise: uniform noise ``[N]`` to sample with; None: the most likely token.
        top_k: sample from this many most likely tokens; 0: all.

    Returns:
        Tokens ``[N]``.
    """
    logits = logits[:, EOS:]
    if noise is None or top_k == 1:
        return argmax(logits) + EOS
    if not top_k:
        return draw(logits, noise[:, None]).squeeze(1) + EOS
    top, token = logits.topk(min(top_k, logits.shape[1]))  # [N, top_k] each
    return token.gather(1, draw(top, noise[:, None])).squeeze(1) + EOS


def argmax(logits: Tensor) -> Tensor:
    """``[..., V]`` → ``[...]``; on a CPU by NumPy, whose argmax is vectorized."""
    if logits.device.type != "cpu":
        return logits.argmax(-1)
    return torch.from_numpy(logits.detach().float().numpy().argmax(-1))


def draw(logits: Tensor, noise: Tensor) -> Tensor:
    """Sample K tokens per row by inverting the cumulative distribution.

    Args:
        logits: ``[N, V]``.
        noise: uniform noise in [0, 1), ``[N, K]``.

    Returns:
        Tokens ``[N, K]``.
    """
    mass = logits.float().softmax(-1).cumsum(-1)  # [N, V]
    return torch.searchsorted(mass, noise * mass[:, -1:], right=True).clamp_(max=mass.shape[1] - 1)


def allowed_log_probs(logits: Tensor) -> Tensor:
    """Log-probabilities that are sampled from: ``[N, V]``, float32, without PAD and BOS."""
    forbidden = torch.tensor([PAD, BOS], device=logits.device)
    return logits.float().index_fill(-1, forbidden, LOG_ZERO).log_softmax(-1)


def row_limits(source: Tensor, limit: int | Tensor) -> tuple[Tensor, int]:
    """The limit of each row of ``source``, ``[B]``, and the largest of them."""
    limit = torch.as_tensor(limit, device=source.device).expand(len(source))
    if len(limit) and int(limit.min()) < 1:
        raise ValueError(f"limit must be at least 1, got {int(limit.min())}")
    return limit, int(limit.max()) if len(limit) else 1


def trim(episodes: Trajectories) -> Trajectories:
    """Cut trailing padding: as wide as the longest episode."""
    longest = int(episodes.length.max()) if len(episodes.length) else 0
    return Trajectories(episodes.action[:, :longest], episodes.length, episodes.score)
