"""DAgger as Ross, Gordon & Bagnell (2011) wrote it: every roll-in joins a growing data set, and all of it is cloned."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from agents.algorithms import Algorithm, LossOutput
from agents.algorithms.dagger import DAgger
from agents.losses.sequence import checked_smoothing, cloning
from textgen_env.errors import Range, UserError, check_range
from textgen_env.types import PAD, Batch, Oracle, Policy, picked

PARTS = ("source", "action", "label", "length")


class DAggerAggregate(Algorithm):
    """Roll in as ``DAgger`` does, label by the oracle's actions, add to the data set, clone a sample of the whole of it.

    Labels are stored, so that each state costs one query for ever.  Beyond ``memory_mb`` the data set is a uniform sample of
    everything that was ever added (reservoir sampling: Vitter 1985, algorithm R).

    Args:
        beta: schedule of β over the training: exponential, linear, reverse_sigmoid or constant
        rate: the schedule's parameter; null: its kind's own (exponential 1/200 and linear 0, β at the end;
            reverse_sigmoid 0.1, its width; constant 1/2)
        top_k: the student writes greedily (1), by top-k sampling (k) or from its whole distribution (0)
        mixture: what a coin decides about: a step, a sequence or the whole batch
        every: updates between two roll-ins: the length of a DAgger iteration
        memory_mb: the most that the data set may take, in MiB
        label_smoothing: probability mass spread evenly over the vocabulary, in [0, 1)
    """

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        generator: torch.Generator,
        beta: str = "exponential",
        rate: float | None = None,
        top_k: int = 1,
        mixture: str = "sequence",
        every: int = 1,
        memory_mb: float = 64.0,
        label_smoothing: float = 0.0,
    ) -> None:
        check_range("every", every, Range(1, 10**6))
        check_range("memory_mb", memory_mb, Range(0, 10**6, "least"))
        self.dagger = DAgger(policy, oracle, generator, "action", beta, rate, top_k, mixture)
        self.policy, self.every, self.steps = policy, every, 0
        self.label_smoothing = checked_smoothing(label_smoothing)
        self.data = Reservoir(int(memory_mb * 2**20), generator)

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        """NLL of the oracle's actions on as many tokens as ``batch`` has, drawn from all roll-ins so far."""
        tokens, decoded, scored = batch.tokens, 0, 0
        if self.steps % self.every == 0:
            batch, on_policy, decoded, asked = self.dagger.mix(batch, self.dagger.beta(progress))
            label, scored = self.dagger.relabel(batch, torch.ones_like(on_policy))
            scored += asked
            self.data.add(batch, label)
        self.steps += 1
        drawn, label = self.data.draw(tokens)
        drawn, action = drawn.to(batch.source.device), picked(label, drawn.actual).to(batch.source.device)  # [N]
        figures = {"aggregated": float(self.data.kept), "seen": float(self.data.seen)}
        loss = cloning(self.policy, drawn, action, self.label_smoothing)
        return LossOutput(loss, len(action), figures, decoded, scored)

    def state_dict(self) -> dict[str, Tensor]:
        return {"steps": torch.tensor(self.steps), **self.data.state_dict()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.steps = int(state["steps"])
        self.data.load_state_dict(state)


class Reservoir:
    """A uniform sample, within ``capacity`` bytes, of all episodes that were ever added.

    parts: source ``[M, S]``, action ``[M, T]``, label ``[M, T]`` and length ``[M, 1]``, int32, as wide as the widest episode so
    far; their first ``kept`` rows are in use.  Wider rows are fewer: then a random choice of those at hand stays.
    """

    def __init__(self, capacity: int, generator: torch.Generator) -> None:
        self.capacity, self.generator = capacity, generator
        self.seen, self.kept = 0, 0
        self.parts = [torch.zeros(0, 0, dtype=torch.int32) for _ in PARTS]

    def add(self, batch: Batch, label: Tensor) -> None:
        """Add episodes with their labels ``[B, T]``."""
        arrived = [part.cpu() for part in (batch.source, batch.target, label, batch.length[:, None])]
        self.make_room([part.shape[1] for part in arrived])
        rows, place = len(self.parts[0]), {}
        for row, draw in enumerate(torch.rand(len(batch), generator=self.generator, dtype=torch.float64).tolist()):
            self.seen += 1
            slot = self.kept if self.kept < rows else int(draw * self.seen)
            if slot < rows:
                place[slot] = row
                self.kept = max(self.kept, slot + 1)
        slots, chosen = (torch.tensor([*each], dtype=torch.int64) for each in (place.keys(), place.values()))
        for part, new in zip(self.parts, arrived, strict=True):
            part[slots, : new.shape[1]] = new[chosen].int()
            part[slots, new.shape[1] :] = PAD

    def draw(self, tokens: int) -> tuple[Batch, Tensor]:
        """Episodes, with replacement, of about ``tokens`` actions together, and their labels ``[B, T]``.

        Their number is settled before their lengths are known, so that all are equally likely; ``index`` is their place here.
        """
        source, action, label, length = (part[: self.kept] for part in self.parts)
        count = max(1, round(tokens / length.float().mean().item()))
        rows = torch.randint(self.kept, (count,), generator=self.generator)
        source, action, label, length = (part[rows].long() for part in (source, action, label, length))
        wide, long = _trimmed(int((source != PAD).sum(1).max())), _trimmed(int(length.max()))
        length = length[:, 0]
        return Batch(rows, source[:, :wide], action[:, :long], length, limit=length), label[:, :long]

    def make_room(self, widths: list[int]) -> None:
        """Widen the parts to ``widths`` where they are narrower."""
        before = [part.shape[1] for part in self.parts]
        widths = [max(pair) for pair in zip(widths, before, strict=True)]
        if widths == before:
            return
        rows = self.capacity // (sum(widths) * torch.int32.itemsize)
        if rows < 1:
            raise UserError(f"memory_mb={self.capacity / 2**20:g} does not hold one episode of this task; raise it")
        stay = torch.randperm(self.kept, generator=self.generator)[:rows] if self.kept > rows else slice(self.kept)
        old, self.kept = [part[: self.kept][stay] for part in self.parts], min(self.kept, rows)
        self.parts = [torch.zeros(rows, width, dtype=torch.int32) for width in widths]
        for part, kept in zip(self.parts, old, strict=True):
            part[: self.kept, : kept.shape[1]] = kept

    def state_dict(self) -> dict[str, Tensor]:
        parts = {name: part[: self.kept] for name, part in zip(PARTS, self.parts, strict=True)}
        return {"seen": torch.tensor(self.seen), **parts}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.kept, self.seen = 0, int(state["seen"])
        saved = [state[name] for name in PARTS]
        self.make_room([part.shape[1] for part in saved])
        self.kept = len(saved[0])
        for part, kept in zip(self.parts, saved, strict=True):
            part[: self.kept] = kept


def _trimmed(width: int) -> int:
    """The next multiple of 8: few shapes."""
    return -(-width // 8) * 8


NAMES = {"dagger_aggregate": partial(DAggerAggregate)}
