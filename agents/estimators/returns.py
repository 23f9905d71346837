"""What learning from rewards takes: episodes that the policy writes, what they earn, and how actions are credited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agents.algorithms import LossOutput
from agents.generation.rollout import roll_out, without_dropout
from textgen_env.errors import UserError
from textgen_env.types import EOS, PAD, Batch, Oracle, Policy, Trajectories

Reward = Callable[[Tensor, Trajectories], np.ndarray]  # rows [B] of the training split, episodes → float64 [B, T]


@dataclass(frozen=True)
class Played:
    """Episodes and what they earned.

    batch: R episodes, those of one source side by side · rewards ``[R, T]`` float32, 0 after the end ·
    decoded, scored: what it cost, as in ``LossOutput``.
    """

    batch: Batch
    rewards: Tensor
    decoded: int
    scored: int

    @property
    def total(self) -> Tensor:
        """``[R]``: each episode's return."""
        return self.rewards.sum(1)

    def output(self, loss: Tensor, **figures: float) -> LossOutput:
        """``loss`` with what every such algorithm books and logs."""
        figures = {"reward": self.total.mean().item(), "length": self.batch.tokens / len(self.batch), **figures}
        return LossOutput(loss, self.batch.tokens, figures, self.decoded, self.scored)


@dataclass(frozen=True)
class Player:
    """Rolls a policy out for the sources of a batch, each up to its limit, and rewards the episodes."""

    policy: Policy
    oracle: Oracle
    generator: torch.Generator
    reward: Reward

    def write(self, batch: Batch, samples: int = 1, reference: bool = False, forced: Tensor | None = None) -> Played:
        """``samples`` episodes a source from the policy's whole distribution; 0: one, greedily.

        reference: the training pair is one more, the last of its source.  forced ``[B, F]``: the first actions of each; what
        they are of a reference beyond its limit is kept.
        """
        count = max(samples, 1) + reference
        batch = batch.rows(torch.arange(len(batch), device=batch.source.device).repeat_interleave(count))
        own = torch.arange(len(batch), device=batch.source.device) % count < max(samples, 1)  # [R]
        steps, top_k = batch.limit[own.cpu()], 0 if samples else 1
        if forced is not None:
            steps = torch.maximum(steps, (forced != PAD).sum(1).cpu())
        written = roll_out(self.policy, batch.source[own], steps, self.generator, top_k, forced)
        decoded = int((written.length - (0 if forced is None else forced.shape[1])).clamp(min=0).sum())
        batch = batch.with_rows(own, written)
        asked = self.oracle.queries
        earned = self.reward(batch.index.cpu(), Trajectories(batch.target, batch.length, torch.zeros(len(batch))))
        check_finite(earned, batch.index)
        rewards = torch.from_numpy(earned).to(batch.source.device, torch.float32)
        return Played(batch, rewards, decoded, self.oracle.queries - asked)


def act_log_probs(policy: Policy, batch: Batch) -> tuple[Tensor, Tensor]:
    """Of the N actions in ``batch``: log-probabilities ``[N]`` under the distribution that writes, and features ``[N, D]``.

    That is the policy without dropout and without PAD and BOS, which are never written: with either, the samples would be
    another policy's and their gradient biased.
    """
    mask = batch.mask
    with without_dropout(policy):
        features = policy.features(batch.source, batch.prefix, mask)  # [N, D]
        logits = policy.head(features)[:, EOS:].float()  # PAD and BOS come before EOS
    return -F.cross_entropy(logits, batch.target[mask] - EOS, reduction="none"), features


def per_episode(values: Tensor, length: Tensor) -> Tensor:
    """Sums over each episode: ``[N]``, and ``length`` ``[R]`` → ``[R]``."""
    row = torch.arange(len(length), device=length.device).repeat_interleave(length).to(values.device)  # [N]
    return values.new_zeros(len(length)).index_add(0, row, values)


def to_go(rewards: Tensor) -> Tensor:
    """The reward of every action and of all that follow: ``[R, T]`` → ``[R, T]``."""
    return rewards.flip(1).cumsum(1).flip(1)


def generalised_advantage(rewards: Tensor, values: Tensor, trace: float) -> Tensor:
    """Â_t = Σ_k λ^k (r_{t+k} + V_{t+k+1} - V_{t+k}), λ = ``trace``, undiscounted (Schulman et al. 2016, equation 16).

    rewards and values ``[R, T]``, both 0 after an episode's end → ``[R, T]``.  λ = 1: the reward to go less the value.
    """
    after = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], 1)
    surprise = rewards + after - values
    advantage = torch.zeros_like(surprise)
    carry = torch.zeros_like(surprise[:, 0])
    for time in reversed(range(surprise.shape[1])):
        carry = surprise[:, time] + trace * carry
        advantage[:, time] = carry
    return advantage


def check_finite(rewards: np.ndarray, index: Tensor) -> None:
    """A reward that is not finite would spoil every weight at the next step."""
    wrong = np.argwhere(~np.isfinite(rewards))
    if len(wrong):
        row, step = wrong[0].tolist()
        raise UserError(
            f"the reward of training row {int(index[row])} at step {step + 1} is {rewards[row, step]}: "
            "rewards must be finite; choose another reward= or mend the function"
        )
