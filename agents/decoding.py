"""Greedy, sampling and beam search over any policy.

All three: ``source`` ``[B, S]``; ``steps``, the most actions in an episode, is an int or an int64 ``[B]`` of one limit a row,
at least 1.  A row ends with EOS or at its limit; PAD and BOS are never written.  No gradient flows; evaluation mode and
precision are the caller's.  ``Trajectories.score`` sums the log-probabilities of what was written under the policy's whole
distribution (not a truncated or tempered one): what teacher forcing gives.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from agents.fast import weights_at_rest
from agents.policy import Policy
from textgen_env.types import BOS, EOS, PAD, Trajectories

Choose = Callable[[Tensor, Tensor, int], Tensor]  # log-probabilities [N, V], rows [N], time → token [N]
DROP = 0.75  # finished rows leave the batch once fewer than this share of its rows is still writing


def greedy(policy: Policy, source: Tensor, steps: int | Tensor) -> Trajectories:
    """The most probable token at every step."""
    return _roll(policy, source, steps, lambda log_probs, rows, time: log_probs.argmax(-1))


def sample(
    policy: Policy, source: Tensor, steps: int | Tensor, generator: torch.Generator, top_k: int = 0, temperature: float = 1.0
) -> Trajectories:
    """A token of the policy's distribution at ``temperature``, among the ``top_k`` most probable (0: among all).

    ``generator`` (on the processor) is read once, ``[B, steps]`` numbers: what a row writes does not depend on later rows.
    """
    noise = torch.rand(len(source), _limits(source, steps)[1], generator=generator).to(source.device)

    def choose(log_probs: Tensor, rows: Tensor, time: int) -> Tensor:
        token = None
        if top_k:
            log_probs, token = log_probs.topk(min(top_k, log_probs.shape[1]))  # [N, top_k] each
        mass = (log_probs / temperature).softmax(-1).cumsum(-1)  # [N, V] or [N, top_k]
        place = torch.searchsorted(mass, noise[rows, time, None] * mass[:, -1:], right=True)  # [N, 1]
        place.clamp_(max=mass.shape[1] - 1)
        return (place if token is None else token.gather(1, place)).squeeze(1)

    return _roll(policy, source, steps, choose)


@torch.no_grad()
@weights_at_rest()
def beam(policy: Policy, source: Tensor, steps: int | Tensor, width: int = 5, length_penalty: float = 1.0) -> Trajectories:
    """The hypothesis with the best ``score / length ** length_penalty`` that a beam of ``width`` finds.

    Each step keeps the ``width`` best continuations; those that end leave the beam.  A row stops as soon as none still in it
    can beat its best finished one, whatever it would go on to write: log-probabilities only sum downwards.  Width 1 is greedy.
    """
    limit, most = _limits(source, steps)
    found = _unwritten(source, most)
    best = torch.full_like(found.score, -torch.inf)  # [B] normalised
    rows = torch.arange(len(source), device=source.device)  # [N] whose search goes on
    written = found.action[:, None].clone()  # [N, W, most]: one empty hypothesis each
    total = torch.zeros_like(best)[:, None]  # [N, W] log-probability; -inf where there is no hypothesis
    token = torch.full_like(rows, BOS)[:, None]  # [N, W]
    if not len(rows):
        return found
    state = policy.start(source, most)
    for time in range(most):
        logits, state = policy.step(token.flatten(), state)
        before = torch.arange(0, len(logits), total.shape[1], device=rows.device)[:, None]  # [N, 1] first state row of each
        total, parent, token = _extend(total, _log_probs(logits), width)  # [N, W] each
        written = written.take_along_dim(parent[:, :, None], 1)  # [N, W, most]
        written[:, :, time] = token
        ended = (token == EOS) | (limit[rows, None] == time + 1)
        value, slot = (total / (time + 1) ** length_penalty).masked_fill(~ended, -torch.inf).max(1)
        better = (value > best[rows]).nonzero().squeeze(1)
        winner, slot = rows[better], slot[better]
        best[winner], found.score[winner] = value[better], total[better, slot]
        found.action[winner], found.length[winner] = written[better, slot], time + 1
        total = total.masked_fill(ended, -torch.inf)
        hope = total.amax(1)  # the bound is monotone in the final length: one of its two ends is the kinder
        bound = torch.maximum(hope / (time + 2) ** length_penalty, hope / limit[rows] ** length_penalty)
        keep = (bound > best[rows]).nonzero().squeeze(1)
        if not len(keep):
            break
        parent = before + parent
        if len(keep) < DROP * len(rows):
            rows, written, total, token, parent = rows[keep], written[keep], total[keep], token[keep], parent[keep]
        state = state.select(parent.flatten())
    return _trimmed(found)


def _extend(total: Tensor, log_probs: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """The ``width`` best continuations of the hypotheses ``total`` ``[N, W]``: their log-probability, parent and last token."""
    each = min(width, log_probs.shape[1])
    gain, token = log_probs.topk(each)  # [N·W, each]
    total = (total.view(-1, 1) + gain).view(len(total), -1)  # [N, W·each]
    total, place = total.topk(min(width, total.shape[1]))  # [N, W']
    return total, place // each, token.view(len(total), -1).gather(1, place)


@torch.no_grad()
@weights_at_rest()
def _roll(policy: Policy, source: Tensor, steps: int | Tensor, choose: Choose) -> Trajectories:
    """Write with one hypothesis a row."""
    limit, most = _limits(source, steps)
    found = _unwritten(source, most)
    rows = torch.arange(len(source), device=source.device)  # [N] those in the batch
    writing = torch.ones_like(rows, dtype=torch.bool)  # [N]
    token = torch.full_like(rows, BOS)  # [N]
    if not len(rows):
        return found
    state = policy.start(source, most)
    for time in range(most):
        logits, state = policy.step(token, state)
        log_probs = _log_probs(logits)
        token = choose(log_probs, rows, time).where(writing, PAD)
        found.score[rows] += log_probs.gather(1, token[:, None]).squeeze(1).where(writing, 0.0)
        found.action[rows, time] = token
        found.length[rows] += writing
        writing &= (token != EOS) & (limit[rows] > time + 1)
        keep = writing.nonzero().squeeze(1)
        if not len(keep):
            break
        if len(keep) < DROP * len(rows):
            rows, writing, token, state = rows[keep], writing[keep], token[keep], state.select(keep)
    return _trimmed(found)


def _log_probs(logits: Tensor) -> Tensor:
    """Log-probabilities ``[N, V]`` float32, with those of PAD and BOS replaced by -inf."""
    log_probs = logits.log_softmax(-1, dtype=torch.float32)
    log_probs[:, PAD] = log_probs[:, BOS] = -torch.inf
    return log_probs


def _limits(source: Tensor, steps: int | Tensor) -> tuple[Tensor, int]:
    """One limit a row ``[B]``, and the largest."""
    limit = torch.as_tensor(steps, device=source.device).expand(len(source))
    if len(limit) and int(limit.min()) < 1:
        raise ValueError(f"steps must be at least 1, not {int(limit.min())}")
    return limit, int(limit.max()) if len(limit) else 1


def _unwritten(source: Tensor, most: int) -> Trajectories:
    batch, device = len(source), source.device
    action = torch.full((batch, most), PAD, dtype=torch.int64, device=device)
    length = torch.zeros(batch, dtype=torch.int64, device=device)
    return Trajectories(action, length, torch.zeros(batch, device=device))


def _trimmed(found: Trajectories) -> Trajectories:
    return Trajectories(found.action[:, : int(found.length.max())], found.length, found.score)
