"""Greedy, sampling and beam search over any policy.

All three: ``source`` ``[B, S]``; ``steps``, the most actions in an episode, is an int or an int64 ``[B]`` of one limit a row,
at least 1.  A row ends with EOS or at its limit; PAD and BOS are never written.  No gradient flows; evaluation mode and
precision are the caller's.  ``Trajectories.score`` sums the log-probabilities of what was written under the policy's whole
distribution (not a truncated or tempered one): what teacher forcing gives; NaN where ``scored=False`` spares the time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from agents.fast import weights_at_rest
from agents.policy import Stepper
from agents.workers import spread
from textgen_env.oracle import LOG_ZERO, likeliest
from textgen_env.types import BOS, EOS, PAD, Trajectories

Choose = Callable[[Tensor, Tensor, int], Tensor]  # logits [N, V], rows [N], time → token [N]
CHUNK = 32  # rows whose log-probabilities are taken together: few enough to stay in a processor's cache
BLOCK = 64  # tokens of the vocabulary whose largest is found together
STEP = 8  # rows are dropped down to a multiple of this: a processor compiles its products for each number of rows
DROP = 0.75  # finished rows leave the batch once fewer than this share of its rows is still writing


def greedy(
    policy: Stepper, source: Tensor, steps: int | Tensor, forced: Tensor | None = None, scored: bool = True
) -> Trajectories:
    """The most probable token at every step, after the first tokens ``forced`` ``[B, F]``, if given."""
    rows, most = _rows(source, steps, forced)
    return spread(_greedy, policy, most, rows, scored=scored)


def sample(
    policy: Stepper,
    source: Tensor,
    steps: int | Tensor,
    generator: torch.Generator,
    top_k: int = 0,
    temperature: float = 1.0,
    forced: Tensor | None = None,
    scored: bool = True,
) -> Trajectories:
    """A token of the policy's distribution at ``temperature``, among the ``top_k`` most probable (0: among all).

    ``generator`` (on the processor) is read once, ``[B, steps]`` numbers: what a row writes does not depend on later rows.
    forced: as in ``greedy``.
    """
    rows, most = _rows(source, steps, forced)
    rows["noise"] = torch.rand(len(source), most, generator=generator).to(source.device)
    return spread(_sample, policy, most, rows, top_k=top_k, temperature=temperature, scored=scored)


def beam(
    policy: Stepper, source: Tensor, steps: int | Tensor, width: int = 5, length_penalty: float = 1.0, keep: int = 1
) -> Trajectories:
    """The hypotheses with the best ``score / length ** length_penalty`` that a beam of ``width`` finds.

    Each step keeps the ``width`` best continuations; those that end leave the beam.  A row stops as soon as none still in it
    can beat the worst it would keep, whatever it would go on to write: log-probabilities only sum downwards.  1 is greedy.
    keep: hypotheses a source, in B·keep rows, best first; where fewer were found, the rest have length 0 and score -inf.
    """
    rows, most = _rows(source, steps)
    return spread(_beam, policy, most, rows, width, width=width, length_penalty=length_penalty, keep=keep)


def _greedy(
    policy: Stepper, most: int, source: Tensor, limit: Tensor, forced: Tensor | None = None, scored: bool = True
) -> Trajectories:
    def choose(logits: Tensor, rows: Tensor, time: int) -> Tensor:
        return likeliest(logits[:, EOS:]) + EOS

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
@weights_at_rest()
def _beam(
    policy: Stepper, most: int, source: Tensor, limit: Tensor, width: int, length_penalty: float, keep: int
) -> Trajectories:
    rows = torch.arange(len(source), device=source.device)  # [N] whose search goes on
    finished = _Finished(len(source), keep, most, source.device)
    written = torch.full((len(source), 1, most), PAD, device=source.device)  # [N, W, most]: one empty hypothesis each
    total = torch.zeros(len(source), 1, device=source.device)  # [N, W] log-probability; -inf where there is no hypothesis
    token = torch.full_like(rows, BOS)[:, None]  # [N, W]
    if not len(rows):
        return finished.trajectories()
    state = policy.start(source, most)
    for time in range(most):
        logits, state = policy.step(token.flatten(), state)
        before = torch.arange(0, len(logits), total.shape[1], device=rows.device)[:, None]  # [N, 1] first state row of each
        total, parent, token = _extend(total, logits, width)  # [N, W] each
        written = written.take_along_dim(parent[:, :, None], 1)  # [N, W, most]
        written[:, :, time] = token
        ended = (token == EOS) | (limit[rows, None] == time + 1)
        value = (total / (time + 1) ** length_penalty).masked_fill(~ended, -torch.inf)  # [N, W]
        finished.add(rows, value, total, written, time + 1)
        total = total.masked_fill(ended, -torch.inf)
        hope = total.amax(1)  # the bound is monotone in the final length: one of its two ends is the kinder
        bound = torch.maximum(hope / (time + 2) ** length_penalty, hope / limit[rows] ** length_penalty)
        going = (bound > finished.value[rows, -1]).nonzero().squeeze(1)
        if not len(going):
            break
        parent = before + parent
        if len(going) < DROP * len(rows):
            rows, written, total, token, parent = rows[going], written[going], total[going], token[going], parent[going]
        state = state.select(parent.flatten())
    return finished.trajectories()


class _Finished:
    """The best finished hypotheses of every source, best first.

    value ``[B, keep]`` normalised, -inf where there is none yet · action ``[B, keep, most]`` · length, score ``[B, keep]``.
    """

    def __init__(self, batch: int, keep: int, most: int, device: torch.device) -> None:
        self.value = torch.full((batch, keep), -torch.inf, device=device)
        self.score = self.value.clone()
        self.action = torch.full((batch, keep, most), PAD, dtype=torch.int64, device=device)
        self.length = torch.zeros((batch, keep), dtype=torch.int64, device=device)

    def add(self, rows: Tensor, value: Tensor, score: Tensor, written: Tensor, length: int) -> None:
        """For sources ``rows`` ``[N]``: ``value``, ``score`` ``[N, W]`` and ``written`` ``[N, W, most]`` of one ``length``."""
        some = (value.amax(1) > self.value[rows, -1]).nonzero().squeeze(1)
        rows, keep = rows[some], self.value.shape[1]
        self.value[rows], place = torch.cat([self.value[rows], value[some]], 1).topk(keep)  # [N', keep]
        self.score[rows] = torch.cat([self.score[rows], score[some]], 1).gather(1, place)
        lengths = torch.full_like(value[some], length, dtype=torch.int64)  # [N', W]
        self.length[rows] = torch.cat([self.length[rows], lengths], 1).gather(1, place)
        self.action[rows] = torch.cat([self.action[rows], written[some]], 1).take_along_dim(place[:, :, None], 1)
        self.length[rows] *= self.value[rows] > -torch.inf

    def trajectories(self) -> Trajectories:
        return _trimmed(Trajectories(self.action.flatten(0, 1), self.length.flatten(), self.score.flatten()))


def writable(logits: Tensor) -> Tensor:
    """The distribution that writes: log-probabilities ``[N, V]``, float32, normalised over what may be written."""
    never = torch.tensor([PAD, BOS], device=logits.device)
    return logits.float().index_fill(-1, never, LOG_ZERO).log_softmax(-1)


def draw(logits: Tensor, noise: Tensor) -> Tensor:
    """Tokens ``[N, K]`` of the distributions of ``logits`` ``[N, V]``, by the uniform ``noise`` ``[N, K]`` in [0, 1)."""
    mass = logits.softmax(-1).cumsum(-1)  # [N, V]
    return torch.searchsorted(mass, noise * mass[:, -1:], right=True).clamp_(max=mass.shape[1] - 1)


def _extend(total: Tensor, logits: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """The ``width`` best continuations of the hypotheses ``total`` ``[N, W]``: their log-probability, parent and last token.

    logits ``[N·W, V]``.
    """
    best = [_top(_log_probs(some), width) for some in logits.split(CHUNK if logits.device.type == "cpu" else len(logits))]
    gain, token = map(torch.cat, zip(*best, strict=True))  # [N·W, each]
    each = gain.shape[1]
    total = (total.view(-1, 1) + gain).view(len(total), -1)  # [N, W·each]
    total, place = total.topk(min(width, total.shape[1]))  # [N, W']
    return total, place // each, token.view(len(total), -1).gather(1, place)


def _top(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of ``[N, V]`` and their places, or all.

    They are in the k blocks with the largest maxima: a processor finds these sooner than it sorts all V.
    """
    rows, size = x.shape
    blocks = size // BLOCK
    if blocks <= 2 * k or x.device.type != "cpu":
        return x.topk(min(k, size))
    most = x[:, : blocks * BLOCK].view(rows, blocks, BLOCK).amax(2)  # [N, blocks]
    start = most.topk(k).indices * BLOCK  # [N, k]
    place = (start[:, :, None] + torch.arange(BLOCK, device=x.device)).flatten(1)  # [N, k·BLOCK]
    rest = torch.arange(blocks * BLOCK, size, device=x.device).expand(rows, -1)
    place = torch.cat([place, rest], 1)
    value, index = x.gather(1, place).topk(k)
    return value, place.gather(1, index)


@torch.no_grad()
@weights_at_rest()
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
    return lambda logits, rows, time: forced[rows, time] if time < forced.shape[1] else choose(logits, rows, time)


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
