"""A toy teacher and queries for the tests of oracles."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks.task import Task
from textgen_env.types import PAD, Trajectories, shift


class ToyPolicy(nn.Module):
    """A causal policy with dropout: a table of logits by prefix, scaled by the source length."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.vocabulary_size = size
        self.table = nn.Embedding(size, size)
        self.dropout = nn.Dropout(0.5)

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        state = prefix.cumsum(dim=1).remainder(self.vocabulary_size)  # [B, T]
        length = (source != PAD).sum(dim=1)
        logits = self.dropout(self.table(state)) * length[:, None, None]  # [B, T, V]
        return logits if mask is None else logits[mask]


def decode(policy: nn.Module, source: Tensor, steps: int) -> Trajectories:
    """Greedy, without a cache; EOS does not end a row."""
    action = torch.full((len(source), steps), PAD)
    for step in range(steps):
        action[:, step] = policy(source, shift(action[:, : step + 1]))[:, -1].argmax(dim=-1)
    return Trajectories(action, torch.full((len(source),), steps), torch.zeros(len(source)))


def toy_teacher(task: Task, **options: Any) -> PolicyOracle:
    """An oracle with the same random ``ToyPolicy`` every time."""
    torch.manual_seed(1)
    policy = ToyPolicy(len(task.vocabulary))
    return PolicyOracle(policy, decode, task.vocabulary, task.vocabulary, **options)


def random_query(task: Task) -> tuple[Tensor, Tensor, Tensor]:
    """Source ``[4, S]``, random prefix ``[4, 7]``, mask ``[4, 7]`` with a gap."""
    source = nn.utils.rnn.pad_sequence(
        [torch.from_numpy(row) for row in task.splits["train"].source[:4]], batch_first=True
    )
    generator = torch.Generator().manual_seed(0)
    prefix = shift(torch.randint(3, len(task.vocabulary), (4, 7), generator=generator))
    mask = torch.arange(7) < torch.tensor([7, 3, 5, 1])[:, None]
    mask[0, 2] = False
    return source, prefix, mask
