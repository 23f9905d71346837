"""Beam search."""

from __future__ import annotations

import torch
from torch import Tensor

from agents.generation import decoding
from agents.generation.decoding import row_limits, trim
from textgen_env.types import BOS, EOS, PAD, Stepper, Trajectories

BLOCK = 64  # tokens whose largest logit is found together


def beam_search(
    policy: Stepper,
    source: Tensor,
    limit: int | Tensor,
    width: int = 5,
    length_penalty: float = 1.0,
    keep: int = 1,
) -> Trajectories:
    """Search for the hypotheses with the highest ``score / length ** length_penalty``.

    Each step takes the 2K best continuations of the K live hypotheses. Those among the first K that
    end with EOS have finished; the K best of the others stay live. A row stops once K hypotheses
    have finished. A hypothesis truncated at the limit is returned only if none has finished. A
    width of 1 is greedy decoding.

    Args:
        policy: Decodes one cached step at a time.
        source: ``[B, S]``.
        limit: Maximum length, EOS included: one number, or int64 ``[B]``.
        width: K, the number of live hypotheses per row.
        length_penalty: The exponent of the length, EOS included, that divides the score.
        keep: Number of hypotheses to return per row, at most ``width``.

    Returns:
        B·keep rows, best first for each source; a missing hypothesis has length 0 and score -inf.
    """
    if not 1 <= keep <= width:
        raise ValueError(f"keep must be from 1 to width={width}, got {keep}")
    if not 0 <= length_penalty < torch.inf:
        raise ValueError(f"length_penalty must be finite and at least 0, got {length_penalty}")
    limit, max_new_tokens = row_limits(source, limit)
    rows = {"source": source, "limit": limit}
    settings = {"width": width, "length_penalty": length_penalty, "keep": keep}
    return decoding.runner(_beam_search, policy, max_new_tokens, rows, **settings)


@torch.no_grad()
def _beam_search(
    policy: Stepper,
    max_new_tokens: int,
    width: int,
    length_penalty: float,
    keep: int,
    **rows: Tensor,
) -> Trajectories:
    source, limit = rows["source"], rows["limit"]
    finished = _Finished((len(source), keep, max_new_tokens), length_penalty, source.device)
    if not len(source):
        return finished.trajectories()
    row = torch.arange(len(source), device=source.device)  # [N] rows still searching
    score = torch.zeros(len(source), 1, device=source.device)  # [N, W]; -inf: no hypothesis
    token = torch.full_like(row, BOS)[:, None]  # [N, W]
    action = torch.full((len(source), 1, max_new_tokens), PAD, device=source.device)  # [N, W, T]
    state = policy.start(source, max_new_tokens)
    for time in range(max_new_tokens):
        logits, state = policy.step(token.flatten(), state)
        score, parent, token = _continuations(score, logits, 2 * width)  # [N, C] each, best first
        action = action.flatten(0, 1)[parent]  # [N, C, T]
        action[:, :, time] = token
        ended = token == EOS
        finished.add(row, score.masked_fill(~ended, -torch.inf)[:, :width], action, time + 1)
        score = score.masked_fill(ended, -torch.inf)
        score, live = score.topk(min(width, score.shape[1]))  # [N, W]
        parent, token = parent.gather(1, live), token.gather(1, live)
        action = action.take_along_dim(live[:, :, None], 1)
        at_limit = limit[row] == time + 1
        truncated = at_limit & (finished.count[row] == 0)
        finished.add(row[truncated], score[truncated], action[truncated], time + 1)
        active = ~at_limit & (finished.count[row] < width) & (score[:, 0] > -torch.inf)
        if not active.any():
            break
        row, score, token, action = row[active], score[active], token[active], action[active]
        state = state.select(parent[active].flatten())
    return finished.trajectories()


def _continuations(score: Tensor, logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The ``count`` best continuations of the hypotheses ``score`` ``[N, W]``; logits ``[N·W, V]``.

    The best among the full blocks of the vocabulary are in the ``count`` blocks with the largest
    maxima. A top-k of these is exact, and on a CPU much faster than one of the whole vocabulary.

    Returns:
        Score, row of ``logits`` and last token, ``[N, C]`` each, best first.
    """
    (rows, width), size = score.shape, logits.shape[1]
    log_probs = logits.log_softmax(-1, dtype=torch.float32).view(rows, width, size)
    place = torch.arange(width * size, device=score.device).view(width, size)  # in [W, V]
    full = EOS + (size - EOS) // BLOCK * BLOCK
    blocks = log_probs[:, :, EOS:full].unflatten(2, (-1, BLOCK))  # neither PAD nor BOS
    best = (score[:, :, None] + blocks.amax(3)).flatten(1)  # [N, W·blocks]
    best = best.topk(min(count, best.shape[1])).indices  # [N, C']
    parent, block = best // blocks.shape[2], best % blocks.shape[2]
    row = torch.arange(rows, device=score.device)[:, None]
    total = score[row, parent, None] + blocks[row, parent, block]  # [N, C', BLOCK]
    rest = score[:, :, None] + log_probs[:, :, full:]  # [N, W, V % BLOCK]
    total = torch.cat([total.flatten(1), rest.flatten(1)], 1)
    best = place[:, EOS:full].unflatten(1, (-1, BLOCK))[parent, block].flatten(1)
    place = torch.cat([best, place[:, full:].flatten().expand(rows, -1)], 1)
    score, index = total.topk(min(count, total.shape[1]))  # [N, C]
    place = place.gather(1, index)
    return score, row * width + place // size, place % size


class _Finished:
    """The best finished hypotheses of every row, best first.

    Attributes:
        value: ``[B, keep]`` normalized score; -inf where there is none.
        action: ``[B, keep, T]``.
        count: ``[B]`` number of hypotheses that have finished, kept or not.
    """

    def __init__(
        self, shape: tuple[int, int, int], length_penalty: float, device: torch.device
    ) -> None:
        self.length_penalty = length_penalty
        self.value = torch.full(shape[:2], -torch.inf, device=device)
        self.action = torch.full(shape, PAD, dtype=torch.int64, device=device)
        self.count = torch.zeros(shape[0], dtype=torch.int64, device=device)

    def add(self, row: Tensor, score: Tensor, action: Tensor, length: int) -> None:
        """Add hypotheses of one length.

        Args:
            row: ``[N]`` the rows they belong to.
            score: ``[N, W]``; -inf where there is no hypothesis.
            action: ``[N, W, T]``.
            length: number of actions, EOS included.
        """
        new = (score > -torch.inf).any(1)
        row, score, action = row[new], score[new], action[new]
        self.count[row] += (score > -torch.inf).sum(1)
        value = torch.cat([self.value[row], score / length**self.length_penalty], 1)
        self.value[row], index = value.topk(self.value.shape[1])
        action = torch.cat([self.action[row], action], 1)
        self.action[row] = action.take_along_dim(index[:, :, None], 1)

    def trajectories(self) -> Trajectories:
        """All kept hypotheses, ``[B·keep, T]``."""
        missing = self.value == -torch.inf  # topk filled these slots with arbitrary actions
        action = self.action.masked_fill(missing[:, :, None], PAD)
        length = (action != PAD).sum(2)
        score = torch.where(missing, -torch.inf, self.value * length**self.length_penalty)
        return trim(Trajectories(action.flatten(0, 1), length.flatten(), score.flatten()))
