"""Greedy, sampling and beam search over any policy.

All three: ``source`` ``[B, S]``; ``steps``, the most actions in an episode, is an int or an int64 ``[B]`` of one limit a row,
at least 1.  A row ends with EOS or at its limit; PAD and BOS are never written.  No gradient flows; evaluation mode and
precision are the caller's.  ``Trajectories.score`` sums the log-probabilities of what was written under the policy's whole
distribution (not a truncated or tempered one): what teacher forcing gives; NaN where ``scored=False`` spares the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from textgen_env.types import BOS, EOS, LOG_ZERO, PAD, Stepper, Trajectories

Choose = Callable[[Tensor, Tensor, int], Tensor]  # logits [N, V], rows [N], time → token [N]
STEP = 8  # rows are dropped down to a multiple of this: a processor compiles its products for each number of rows
DECODER = 2  # version of the search rules: part of the name of everything that keeps what they found
DROP = 0.75  # finished rows leave the batch once fewer than this share of its rows is still writing


def direct(
    decode: Callable[..., Trajectories], policy: Stepper, most: int, rows: dict[str, Tensor], **settings: Any
) -> Trajectories:
    """``decode`` all rows at once, here."""
    return decode(policy, most, **rows, **settings)


runner: Callable[..., Trajectories] = direct  # may be replaced by what splits rows over processes


def greedy(
    policy: Stepper, source: Tensor, steps: int | Tensor, forced: Tensor | None = None, scored: bool = True
) -> Trajectories:
    """The most probable token at every step, after the first tokens ``forced`` ``[B, F]``, if given."""
    rows, most = _rows(source, steps, forced)
    return runner(_greedy, policy, most, rows, scored=scored)


def sample(
    policy: Stepper,
    source: Tensor,
    limit: int | Tensor,
    noise: Tensor,
    top_k: int = 0,
    temperature: float = 1.0,
    forced: Tensor | None = None,
    scored: bool = True,
) -> Trajectories:
    """A token of the policy's distribution at ``temperature``, among the ``top_k`` most probable (0: among all).

    Args:
        policy: generates one cached step at a time.
        source: ``[B, S]``.
        limit: on the length, EOS included: one number, or int64 ``[B]``.
        noise: uniform numbers ``[B, T]``, one for every step that ``limit`` allows.
        top_k: how many tokens may be drawn.
        temperature: divides the logits.
        forced: as in ``greedy``.
        scored: whether scores are computed.
    """
    rows, most = _rows(source, limit, forced)
    if noise.shape[1] < most:
        raise ValueError(f"noise has {noise.shape[1]} steps, and {most} may be generated")
    rows["noise"] = noise.to(source.device)
    return runner(_sample, policy, most, rows, top_k=top_k, temperature=temperature, scored=scored)


def beam(
    policy: Stepper,
    source: Tensor,
    steps: int | Tensor,
    width: int = 5,
    length_penalty: float = 1.0,
    keep: int = 1,
) -> Trajectories:
    """Beam search for the hypotheses with the best ``score / length ** length_penalty``.

    Each step takes the 2K best continuations of the K live hypotheses. Of the first K, those that
    end with EOS have finished; the K best that do not end stay live. A row stops when K hypotheses
    have finished. A hypothesis cut at the limit counts only where none has finished. A width of 1
    is greedy search.

    Args:
        policy: Generates one cached step at a time.
        source: ``[B, S]``.
        steps: Limit on the length, EOS included: one number, or int64 ``[B]``.
        width: K, live hypotheses per row.
        length_penalty: Power of the length, EOS included, that divides the score.
        keep: Hypotheses to return per row, at most ``width``.

    Returns:
        B·keep rows, best first for each source; what was not found has length 0 and score -inf.
    """
    if not 1 <= keep <= width:
        raise ValueError(f"keep must be from 1 to width={width}, not {keep}")
    if not 0 <= length_penalty < torch.inf:
        raise ValueError(f"length_penalty must be a number from 0, not {length_penalty}")
    rows, most = _rows(source, steps)
    settings = {"width": width, "length_penalty": length_penalty, "keep": keep}
    return runner(_beam, policy, most, rows, **settings)


def _greedy(
    policy: Stepper, most: int, source: Tensor, limit: Tensor, forced: Tensor | None = None, scored: bool = True
) -> Trajectories:
    def choose(logits: Tensor, rows: Tensor, time: int) -> Tensor:
        return logits[:, EOS:].argmax(-1) + EOS

    return _roll(policy, most, source, limit, _after(forced, choose), scored)


def _sample(
    policy: Stepper,
    most: int,
    source: Tensor,
    limit: Tensor,
    noise: Tensor,
    top_k: int,
    temperature: float,
    forced: Tensor | None = None,
    scored: bool = True,
) -> Trajectories:
    def choose(logits: Tensor, rows: Tensor, time: int) -> Tensor:
        logits, token = logits[:, EOS:], None
        if top_k:
            logits, token = logits.topk(min(top_k, logits.shape[1]))  # [N, top_k] each
        place = draw(logits.float() / temperature, noise[rows, time, None])  # [N, 1]
        return (place if token is None else token.gather(1, place)).squeeze(1) + EOS

    return _roll(policy, most, source, limit, _after(forced, choose), scored)


@torch.no_grad()
def _beam(
    policy: Stepper, most: int, source: Tensor, limit: Tensor, width: int, length_penalty: float, keep: int
) -> Trajectories:
    finished = _Finished((len(source), keep, most), length_penalty, source.device)
    if not len(source):
        return finished.trajectories()
    rows = torch.arange(len(source), device=source.device)  # [N] rows whose search goes on
    total = torch.zeros(len(source), 1, device=source.device)  # [N, W] score; -inf: no hypothesis
    token = torch.full_like(rows, BOS)[:, None]  # [N, W]
    action = torch.full((len(source), 1, most), PAD, device=source.device)  # [N, W, most]
    state = policy.start(source, most)
    for time in range(most):
        logits, state = policy.step(token.flatten(), state)
        total, parent, token = _candidates(total, logits, 2 * width)  # [N, C] each, best first
        action = action.flatten(0, 1)[parent]  # [N, C, most]
        action[:, :, time] = token
        ended = token == EOS
        finished.add(rows, total.masked_fill(~ended, -torch.inf)[:, :width], action, time + 1)
        total, live = total.masked_fill(ended, -torch.inf).topk(min(width, total.shape[1]))  # [N, W]
        parent, token = parent.gather(1, live), token.gather(1, live)
        action = action.take_along_dim(live[:, :, None], 1)
        at_limit = limit[rows] == time + 1
        cut = at_limit & (finished.count[rows] == 0)
        finished.add(rows[cut], total[cut], action[cut], time + 1)
        going = ~at_limit & (finished.count[rows] < width) & (total[:, 0] > -torch.inf)
        if not going.any():
            break
        rows, total, token, action = rows[going], total[going], token[going], action[going]
        state = state.select(parent[going].flatten())
    return finished.trajectories()


class _Finished:
    """The best finished hypotheses of every row, best first.

    value ``[B, keep]``: normalized score, -inf where there is none · score, length ``[B, keep]`` ·
    action ``[B, keep, most]`` · count ``[B]``: hypotheses that have finished, kept or not.
    """

    def __init__(self, shape: tuple[int, int, int], length_penalty: float, device: torch.device) -> None:
        self.length_penalty = length_penalty
        self.value = torch.full(shape[:2], -torch.inf, device=device)
        self.score = self.value.clone()
        self.length = torch.zeros(shape[:2], dtype=torch.int64, device=device)
        self.action = torch.full(shape, PAD, dtype=torch.int64, device=device)
        self.count = torch.zeros(shape[0], dtype=torch.int64, device=device)

    def add(self, rows: Tensor, score: Tensor, action: Tensor, length: int) -> None:
        """Add hypotheses of ``rows`` ``[N]``: score ``[N, W]``, -inf where there is none; action ``[N, W, most]``."""
        some = (score > -torch.inf).any(1)
        rows, score, action, keep = rows[some], score[some], action[some], self.value.shape[1]
        self.count[rows] += (score > -torch.inf).sum(1)
        value = score / score.new_tensor(length) ** self.length_penalty
        value = torch.cat([self.value[rows], value], 1)
        self.value[rows], place = value.topk(keep)
        lengths = torch.full_like(score, length, dtype=torch.int64)
        self.score[rows] = torch.cat([self.score[rows], score], 1).gather(1, place)
        self.length[rows] = torch.cat([self.length[rows], lengths], 1).gather(1, place)
        self.action[rows] = torch.cat([self.action[rows], action], 1).take_along_dim(place[:, :, None], 1)

    def trajectories(self) -> Trajectories:
        missing = self.score == -torch.inf  # what took its place means nothing
        action = self.action.masked_fill(missing[:, :, None], PAD)
        length = self.length.masked_fill(missing, 0)
        return _trimmed(Trajectories(action.flatten(0, 1), length.flatten(), self.score.flatten()))


def _candidates(total: Tensor, logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The ``count`` best continuations of the hypotheses ``total`` ``[N, W]``; logits ``[N·W, V]``.

    Returns:
        Score, row of ``logits`` and last token, ``[N, C]`` each, best first.
    """
    (rows, width), size = total.shape, logits.shape[1]
    scores = (total.view(-1, 1) + _log_probs(logits)).view(rows, -1)  # [N, W·V]
    total, place = scores.topk(min(count, width * size))
    first = torch.arange(0, rows * width, width, device=total.device)[:, None]
    return total, first + place // size, place % size


def writable(logits: Tensor) -> Tensor:
    """The distribution that writes: log-probabilities ``[N, V]``, float32, normalised over what may be written."""
    never = torch.tensor([PAD, BOS], device=logits.device)
    return logits.float().index_fill(-1, never, LOG_ZERO).log_softmax(-1)


def draw(logits: Tensor, noise: Tensor) -> Tensor:
    """Tokens ``[N, K]`` of the distributions of ``logits`` ``[N, V]``, by the uniform ``noise`` ``[N, K]`` in [0, 1)."""
    mass = logits.softmax(-1).cumsum(-1)  # [N, V]
    return torch.searchsorted(mass, noise * mass[:, -1:], right=True).clamp_(max=mass.shape[1] - 1)


@torch.no_grad()
def _roll(policy: Stepper, most: int, source: Tensor, limit: Tensor, choose: Choose, scored: bool) -> Trajectories:
    """Write with one hypothesis a row."""
    if not len(source):
        return Trajectories(source, limit, torch.zeros(0, device=source.device))
    rows = torch.arange(len(source), device=source.device)  # [N] those in the batch
    action, score = torch.full((len(source), most), PAD, device=source.device), torch.zeros(len(source), device=source.device)
    written, total = action.clone(), score.clone()  # [N, most], [N]: of those in the batch
    writing, token = torch.ones_like(rows, dtype=torch.bool), torch.full_like(rows, BOS)  # [N] each
    soonest = int(limit.min())
    state = policy.start(source, most)
    for time in range(most):
        logits, state = policy.step(token, state)
        token = choose(logits, rows, time).where(writing, PAD)
        written[:, time] = token
        if scored:
            total += _log_probs(logits).gather(1, token[:, None]).squeeze(1).where(writing, 0.0)
        writing &= token != EOS
        if time + 1 >= soonest:
            writing &= limit[rows] > time + 1
        left = int(writing.sum())
        if not left:
            break
        left = -(-left // STEP) * STEP
        if left < DROP * len(rows):
            action[rows], score[rows] = written, total
            keep = writing.sort(descending=True, stable=True).indices[:left].sort().values
            rows, written, total, writing, token = rows[keep], written[keep], total[keep], writing[keep], token[keep]
            state = state.select(keep)
    action[rows], score[rows] = written, total
    length = (action != PAD).sum(1)
    return _trimmed(Trajectories(action, length, score if scored else score.fill_(torch.nan)))


def _after(forced: Tensor | None, choose: Choose) -> Choose:
    """The tokens ``forced`` ``[B, F]``, then what ``choose`` would."""
    if forced is None:
        return choose

    def forced_or_chosen(logits: Tensor, rows: Tensor, time: int) -> Tensor:
        token = choose(logits, rows, time)
        return token if time >= forced.shape[1] else token.where(forced[rows, time] == PAD, forced[rows, time])

    return forced_or_chosen


def _log_probs(logits: Tensor) -> Tensor:
    """Log-probabilities ``[N, V]`` float32, with those of PAD and BOS replaced by -inf."""
    log_probs = logits.log_softmax(-1, dtype=torch.float32)
    log_probs[:, PAD] = log_probs[:, BOS] = -torch.inf
    return log_probs


def _rows(source: Tensor, steps: int | Tensor, forced: Tensor | None = None) -> tuple[dict[str, Tensor], int]:
    """What is known of each row, its limit ``[B]`` among it, and the largest limit."""
    limit = torch.as_tensor(steps, device=source.device).expand(len(source))
    if len(limit) and int(limit.min()) < 1:
        raise ValueError(f"steps must be at least 1, not {int(limit.min())}")
    rows = {"source": source, "limit": limit} | ({} if forced is None else {"forced": forced})
    return rows, int(limit.max()) if len(limit) else 1


def _trimmed(found: Trajectories) -> Trajectories:
    longest = int(found.length.max()) if len(found.length) else 0
    return Trajectories(found.action[:, :longest], found.length, found.score)
