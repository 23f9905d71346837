"""The expert π*, which can be asked at any state, also at prefixes it would never have written (Lin et al. 2020, section 2).

Everywhere ``source`` is ``[B, S]`` with PAD after its EOS, ``prefix`` is ``[B, T]`` and holds the token *before* each step
(BOS first, as ``Batch.prefix``), and a bool ``mask`` ``[B, T]``, there or on the processor, picks the positions to answer, in
row-major order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from textgen_env.data.split import Split
from textgen_env.data.vocabulary import Vocabulary, check_vocabulary
from textgen_env.errors import Range, UserError, check_range
from textgen_env.profiler import phase
from textgen_env.tasks.task import Task
from textgen_env.types import EOS, Oracle, Trajectories, pad

ROWS = 64  # of logits that become log-probabilities together
LOG_ZERO = -1e4  # the log-probability of "never": exp is exactly 0, yet 0 · LOG_ZERO is 0 and not NaN, in half precision too


def expert(task: Task) -> Oracle:
    """The expert of a task that nobody trained one for: the task's exact one, else its references."""
    return task.oracle() if task.oracle else ReferenceOracle(task.splits.values(), len(task.vocabulary))


class PolicyOracle:
    """A trained teacher: any policy, asked in evaluation mode and without gradient.

    decode: ``(policy, source, steps) → Trajectories``, how it demonstrates (say, beam search).
    vocabulary, student: the teacher's and the student's; UserError unless every id means the same in both.
    top_k: keep the k likeliest tokens, renormalised; every other gets LOG_ZERO.
    """

    def __init__(
        self,
        policy: nn.Module,
        decode: Callable[[nn.Module, Tensor, int | Tensor], Trajectories],
        vocabulary: Vocabulary,
        student: Vocabulary,
        top_k: int | None = None,
    ) -> None:
        check_vocabulary(vocabulary, student)
        if top_k is not None:
            check_range("top_k", top_k, Range(1, len(vocabulary)))
        self.policy: Any = policy
        self.decode, self.top_k = decode, top_k
        self.vocabulary_size = len(vocabulary)
        self.queries = 0

    @phase("teacher")
    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        return keep_top(log_softmax(self._logits(source, prefix, mask)), self.top_k or 0)

    @phase("teacher")
    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        return likeliest(self._logits(source, prefix, mask))

    def demonstrate(self, source: Tensor, steps: int | Tensor) -> Trajectories:
        with _asking(self.policy) as device:
            written = self.decode(self.policy, source.to(device), steps)
        self.queries += int(written.length.sum())
        return written

    def start(self, source: Tensor, steps: int) -> Any:
        """With ``step``, the policy's own cached decode: for rolling it out one action at a time, among others' actions."""
        with _asking(self.policy) as device:
            return self.policy.start(source.to(device), steps)

    @phase("teacher")
    def step(self, token: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The last token ``[B]`` → next-token logits ``[B, V]``, with a top_k its k likeliest's, and the state after it."""
        self.queries += len(token)
        with _asking(self.policy):
            logits, state = self.policy.step(token, state)
        return (keep_top(logits.float().log_softmax(dim=-1), self.top_k) if self.top_k else logits), state

    def _logits(self, source: Tensor, prefix: Tensor, mask: Tensor | None) -> Tensor:
        self.queries += _positions(prefix, mask)
        with _asking(self.policy) as device:
            there = mask if mask is None or mask.device.type == "cpu" else mask.to(device)
            return self.policy(source.to(device), prefix.to(device), there)


class ReferenceOracle:
    """What human references can say: at step t the reference's t-th token, whatever was written before; EOS after its end.

    The source is looked up by its tokens; where splits repeat a source, the first reference counts.
    smoothing: probability of all other tokens together, shared equally, so that log-probabilities stay finite.
    """

    def __init__(self, splits: Iterable[Split], vocabulary_size: int, smoothing: float = 0.01) -> None:
        check_range("smoothing", smoothing, Range(0, 1, "both"))
        self.vocabulary_size, self.smoothing = vocabulary_size, smoothing
        self.queries = 0
        self._splits = list(splits)
        self._row: dict[bytes, int] = {}

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        best = self.action(source, prefix, mask)
        other = math.log(self.smoothing / (self.vocabulary_size - 1))
        log_probs = torch.full((*best.shape, self.vocabulary_size), other, device=best.device)
        return log_probs.scatter_(-1, best[..., None], math.log1p(-self.smoothing))

    @phase("teacher")
    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        start, length = self._references(source)
        if mask is None:
            row, step = np.indices(prefix.shape)  # [B, T] each
        else:
            row, step = np.nonzero(mask.cpu().numpy())  # [N] each
        self.queries += step.size
        known = step < length[row]
        action = np.where(known, self._targets[np.where(known, start[row] + step, 0)], EOS)
        return torch.from_numpy(action).to(prefix.device)

    def demonstrate(self, source: Tensor, steps: int | Tensor) -> Trajectories:
        start, length = self._references(source)
        length = np.minimum(length, torch.as_tensor(steps).cpu().numpy())
        action = pad([self._targets[a : a + n] for a, n in zip(start, length, strict=True)], int(length.max()))
        self.queries += int(length.sum())
        score = torch.from_numpy(length * math.log1p(-self.smoothing)).float()
        written = Trajectories(torch.from_numpy(action), torch.from_numpy(length), score)
        return Trajectories(*(part.to(source.device) for part in (written.action, written.length, written.score)))

    def _references(self, source: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Where in ``_targets`` the reference of each source starts, and its length: ``[B]`` each."""
        if not self._row:
            self._read()
        try:
            rows = np.array([self._row[source_key(tokens)] for tokens in source.cpu().numpy()], dtype=np.int64)
        except KeyError:
            raise UserError(
                "the reference oracle was asked about a source in none of its splits; ask a trained teacher"
            ) from None
        return self._start[rows], self._length[rows]

    def _read(self) -> None:
        """One long array of targets; where splits repeat a source, the first one stays."""
        targets = [target for split in self._splits for target in split.target]
        self._targets = np.concatenate(targets)
        self._length = np.array([len(target) for target in targets])
        self._start = np.cumsum(self._length) - self._length
        for row, source in enumerate(source for split in self._splits for source in split.source):
            self._row.setdefault(source_key(source), row)


def likeliest(logits: Tensor) -> Tensor:
    """The place of the largest of ``[…, V]``; of equals the first."""
    if logits.device.type != "cpu" or not logits.numel():
        return logits.argmax(-1)
    logits = logits.detach()
    if logits.dtype != torch.bfloat16:
        return torch.from_numpy(np.asarray(logits.float().numpy().argmax(-1)))  # vectorised, which torch's own is not
    bits = logits.view(torch.int16).numpy()
    best = torch.from_numpy(np.asarray(bits.argmax(-1)))  # positive numbers are ordered as their bits are, above all others
    other = logits.gather(-1, best[..., None]).squeeze(-1) <= 0
    return best if not other.any() else best.where(~other, likeliest(logits.float()))


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities, float32, of logits ``[…, V]``; on a processor some rows at a time, which then stay in its cache."""
    if logits.device.type != "cpu":
        return logits.float().log_softmax(-1)
    found = torch.empty(logits.shape, dtype=torch.float32)
    for some, place in zip(logits.flatten(0, -2).split(ROWS), found.flatten(0, -2).split(ROWS), strict=True):
        torch.log_softmax(some.float(), -1, out=place)
    return found


def keep_top(log_probs: Tensor, k: int) -> Tensor:
    """The k largest of ``[…, V]`` renormalised, LOG_ZERO elsewhere; 0 keeps all."""
    if not 0 < k < log_probs.shape[-1]:
        return log_probs
    top, index = log_probs.topk(k, dim=-1)
    return torch.full_like(log_probs, LOG_ZERO).scatter_(-1, index, top.log_softmax(dim=-1))


def source_key(tokens: np.ndarray) -> bytes:
    """The same for a source with and without its padding: PAD is 0."""
    return tokens.tobytes().rstrip(b"\0")


@contextmanager
def _asking(policy: nn.Module) -> Iterator[torch.device]:
    """Evaluation mode, no gradient; training mode is restored.  Gives the policy's device."""
    training = policy.training
    policy.eval()
    try:
        with torch.no_grad(), phase("teacher"):
            yield next((parameter.device for parameter in policy.parameters()), torch.device("cpu"))
    finally:
        policy.train(training)


def _positions(prefix: Tensor, mask: Tensor | None) -> int:
    return prefix.numel() if mask is None else int(mask.sum())
