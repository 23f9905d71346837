"""BC of the library imitation on our transformer; a sample is one (source, prefix, token)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from imitation.algorithms.bc import BC
from imitation.util.logger import HierarchicalLogger
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from agents.precision import precision
from benchmarks.material import MAX_LENGTH, Setup, Work, batches, transformer
from textgen_env.types import PAD, Batch

ROWS, MINIBATCH = 512, 128  # states per update and per forward pass


class Student(BasePolicy):
    """A policy on observations ``[B, S + T]``: the source, then the padded prefix."""

    def __init__(self, spaces: dict[str, Any], policy: Any) -> None:
        super().__init__(spaces["observation_space"], spaces["action_space"])
        self.policy = policy

    def evaluate_actions(self, obs: Tensor, actions: Tensor) -> tuple[None, Tensor, Tensor]:
        """No values, log-probabilities ``[B]`` and entropies ``[B]``, as in Stable-Baselines3."""
        source, prefix = obs.long().split(MAX_LENGTH, 1)  # [B, S], [B, T]
        last = torch.arange(MAX_LENGTH) == (prefix != PAD).sum(1, keepdim=True) - 1
        log_probs = self.policy(source, prefix, last).log_softmax(-1)  # [B, V]
        chosen = log_probs.gather(1, actions.long()[:, None]).squeeze(1)
        return None, chosen, -(log_probs.exp() * log_probs).sum(-1)

    def _predict(self, observation: Tensor, deterministic: bool = False) -> Tensor:
        raise NotImplementedError("the benchmark only trains")


class Contender:
    """Trains with imitation."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def train(self, size: str, amp: str) -> Work:
        """One update on up to ``ROWS`` states of the first batch; counts them."""
        high, minibatches = self.setup.vocabulary - 1, transitions(batches(self.setup)[0])
        spaces = {
            "observation_space": Box(0, high, (2 * MAX_LENGTH,), np.int64),
            "action_space": Discrete(high + 1),
        }
        sizes = [len(minibatch["acts"]) for minibatch in minibatches]
        trainer = BC(
            **spaces,
            rng=np.random.default_rng(0),
            policy=Student(spaces, transformer(self.setup, size)),
            demonstrations=minibatches,
            batch_size=sum(sizes),
            minibatch_size=sizes[0],
            optimizer_cls=torch.optim.Adam,
            optimizer_kwargs={"lr": 1e-4, "fused": True},
            custom_logger=HierarchicalLogger(Logger(None, [])),
        )

        def run() -> float:
            with precision(amp, "cpu"):
                trainer.train(n_batches=1, progress_bar=False, log_interval=10**9)
            return sum(sizes)

        return Work(run)


def transitions(batch: Batch) -> list[dict[str, Tensor]]:
    """Up to ``ROWS`` transitions of the batch, in equal mini-batches of at most ``MINIBATCH``."""
    row, step = batch.mask.nonzero(as_tuple=True)  # [N] each
    size = min(MINIBATCH, len(row))
    count = min(ROWS, len(row)) // size * size
    row, step = row[:count], step[:count]
    prefix = batch.prefix[row].masked_fill(torch.arange(MAX_LENGTH) > step[:, None], PAD)  # [N, T]
    columns = {"obs": torch.cat([batch.source[row], prefix], 1), "acts": batch.target[row, step]}
    return [
        {name: value[start : start + size] for name, value in columns.items()}
        for start in range(0, count, size)
    ]
