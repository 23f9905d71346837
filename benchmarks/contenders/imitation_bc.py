"""imitation's ``bc.BC`` on our transformer: a (source, prefix, token) a row, as that library sees an episode."""

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
from benchmarks.material import LENGTH, Setup, Work, batches, transformer
from textgen_env.types import PAD, Batch

ROWS, MINIBATCH = 512, 128  # states of an update, and how many at once, which bounds the memory


class Student(BasePolicy):
    """Observations ``[B, S + T]``: the source, then the prefix with PAD after it."""

    def __init__(self, spaces: dict[str, Any], policy: Any) -> None:
        super().__init__(spaces["observation_space"], spaces["action_space"])
        self.policy = policy

    def evaluate_actions(self, obs: Tensor, actions: Tensor) -> tuple[None, Tensor, Tensor]:
        source, prefix = obs.long().split(LENGTH, 1)  # [B, S], [B, T]
        last = (prefix != PAD).sum(1, keepdim=True) - 1
        log_probs = self.policy(source, prefix, torch.arange(LENGTH) == last).log_softmax(
            -1
        )  # [B, V]
        return (
            None,
            log_probs.gather(1, actions.long()[:, None]).squeeze(1),
            -(log_probs.exp() * log_probs).sum(-1),
        )

    def _predict(self, observation: Tensor, deterministic: bool = False) -> Tensor:
        raise NotImplementedError("it is only trained")


class Contender:
    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def train(self, size: str, amp: str) -> Work:
        """One update on up to ``ROWS`` states of the first batch; counts them."""
        high, parts = self.setup.vocabulary - 1, states(batches(self.setup)[0])
        spaces = {
            "observation_space": Box(0, high, (2 * LENGTH,), np.int64),
            "action_space": Discrete(high + 1),
        }
        part, count = len(parts[0]["acts"]), sum(len(part["acts"]) for part in parts)
        trainer = BC(
            **spaces,
            rng=np.random.default_rng(0),
            policy=Student(spaces, transformer(self.setup, size)),
            demonstrations=parts,
            batch_size=count,
            minibatch_size=part,
            optimizer_cls=torch.optim.Adam,
            optimizer_kwargs={"lr": 1e-4, "fused": True},
            custom_logger=HierarchicalLogger(Logger(None, [])),
        )

        def run() -> float:
            with precision(amp, "cpu"):
                trainer.train(n_batches=1, progress_bar=False, log_interval=10**9)
            return count

        return Work(run)


def states(batch: Batch) -> list[dict[str, Tensor]]:
    """The first ``ROWS`` states of the batch, or as many as it has, in equal parts of at most ``MINIBATCH``."""
    row, step = batch.mask.nonzero(as_tuple=True)  # [N] each
    part = min(MINIBATCH, len(row))
    kept = min(ROWS, len(row)) // part * part
    row, step = row[:kept], step[:kept]
    prefix = batch.prefix[row].masked_fill(torch.arange(LENGTH) > step[:, None], PAD)  # [N, T]
    whole = {"obs": torch.cat([batch.source[row], prefix], 1), "acts": batch.target[row, step]}
    return [
        {name: value[start : start + part] for name, value in whole.items()}
        for start in range(0, kept, part)
    ]
