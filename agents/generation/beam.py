"""Beam search."""

from __future__ import annotations

import torch
from torch import Tensor

from agents.generation import decoding
from agents.generation.decoding import limits, trimmed
from textgen_env.types import BOS, EOS, PAD, Stepper, Trajectories


def beam(
    policy: Stepper,
    source: Tensor,
    limit: int | Tensor,
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
        limit: Limit on the length, EOS included: one number, or int64 ``[B]``.
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
    limit, most = limits(source, limit)
    rows = {"source": source, "limit": limit}
    return decoding.runner(
        _beam, policy, most, rows, width=width, length_penalty=length_penalty, keep=keep
    )


@torch.no_grad()
def _beam(
    policy: Stepper, most: int, width: int, length_penalty: float, keep: int, **rows: Tensor
) -> Trajectories:
    source, limit = rows["source"], rows["limit"]
    finished = _Finished((len(source), keep, most), length_penalty, source.device)
    if not len(source):
        return finished.trajectories()
    row = torch.arange(len(source), device=source.device)  # [N] rows whose search goes on
    score = torch.zeros(len(source), 1, device=source.device)  # [N, W]; -inf: no hypothesis
    token = torch.full_like(row, BOS)[:, None]  # [N, W]
    action = torch.full((len(source), 1, most), PAD, device=source.device)  # [N, W, most]
    state = policy.start(source, most)
    for time in range(most):
        logits, state = policy.step(token.flatten(), state)
        score, parent, token = _continuations(score, logits, 2 * width)  # [N, C] each, best first
        action = action.flatten(0, 1)[parent]  # [N, C, most]
        action[:, :, time] = token
        ended = token == EOS
        finished.add(row, score.masked_fill(~ended, -torch.inf)[:, :width], action, time + 1)
        score, live = score.masked_fill(ended, -torch.inf).topk(
            min(width, score.shape[1])
        )  # [N, W]
        parent, token = parent.gather(1, live), token.gather(1, live)
        action = action.take_along_dim(live[:, :, None], 1)
        at_limit = limit[row] == time + 1
        cut = at_limit & (finished.count[row] == 0)
        finished.add(row[cut], score[cut], action[cut], time + 1)
        going = ~at_limit & (finished.count[row] < width) & (score[:, 0] > -torch.inf)
        if not going.any():
            break
        row, score, token, action = row[going], score[going], token[going], action[going]
        state = state.select(parent[going].flatten())
    return finished.trajectories()


def _continuations(score: Tensor, logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The ``count`` best continuations of the hypotheses ``score`` ``[N, W]``; logits ``[N·W, V]``.

    Returns:
        Score, row of ``logits`` and last token, ``[N, C]`` each, best first.
    """
    rows, width = score.shape
    log_probs = logits.log_softmax(-1, dtype=torch.float32)[:, EOS:]  # neither PAD nor BOS
    gain, token = log_probs.topk(min(count, log_probs.shape[1]))  # [N·W, C]
    total = (score.view(-1, 1) + gain).view(rows, -1)  # [N, W·C]
    score, place = total.topk(min(count, total.shape[1]))  # [N, C]
    first = torch.arange(0, rows * width, width, device=score.device)[:, None]
    return score, first + place // gain.shape[1], token.view(rows, -1).gather(1, place) + EOS


class _Finished:
    """The best finished hypotheses of every row, best first.

    Attributes:
        value: ``[B, keep]`` normalized score; -inf where there is none.
        action: ``[B, keep, most]``.
        count: ``[B]`` hypotheses that have finished, kept or not.
    """

    def __init__(
        self, shape: tuple[int, int, int], length_penalty: float, device: torch.device
    ) -> None:
        self.length_penalty = length_penalty
        self.value = torch.full(shape[:2], -torch.inf, device=device)
        self.action = torch.full(shape, PAD, dtype=torch.int64, device=device)
        self.count = torch.zeros(shape[0], dtype=torch.int64, device=device)

    def add(self, row: Tensor, score: Tensor, action: Tensor, length: int) -> None:
        """Add hypotheses of rows ``row`` ``[N]``: score ``[N, W]``, -inf where there is none; action ``[N, W, most]``."""
        new = (score > -torch.inf).any(1)
        row, score, action = row[new], score[new], action[new]
        self.count[row] += (score > -torch.inf).sum(1)
        value = torch.cat([self.value[row], score / length**self.length_penalty], 1)
        self.value[row], place = value.topk(self.value.shape[1])
        self.action[row] = torch.cat([self.action[row], action], 1).take_along_dim(
            place[:, :, None], 1
        )

    def trajectories(self) -> Trajectories:
        missing = self.value == -torch.inf  # what stands there was cut from something else
        action = self.action.masked_fill(missing[:, :, None], PAD)
        length = (action != PAD).sum(2)
        score = torch.where(missing, -torch.inf, self.value * length**self.length_penalty)
        return trimmed(Trajectories(action.flatten(0, 1), length.flatten(), score.flatten()))
