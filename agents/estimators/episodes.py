"""Generate episodes with a policy, and compute their rewards and log-probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agents.estimators.returns import padded
from agents.generation.decoding import allowed_log_probs
from agents.generation.rollout import rollout, without_dropout
from agents.losses.chunked import recomputed
from agents.losses.loss import Loss
from agents.losses.sequence import chunked_loss
from textgen_env.chunks import chunks
from textgen_env.errors import UserError
from textgen_env.types import EOS, PAD, Batch, Oracle, Policy, Trajectories, select_positions

# rows [B] of the training split, episodes → float64 [B, T]
Reward = Callable[[Tensor, Trajectories], np.ndarray]
# the KL [n] of policy to oracle, log q and log p [n] of the actions, and their rows → losses [n]
ReverseKLLosses = Callable[[Tensor, Tensor, Tensor, Batch], Tensor]


@dataclass(frozen=True)
class ScoredEpisodes:
    """R episodes and their rewards.

    Attributes:
        batch: the episodes; the K episodes of one source are adjacent.
        rewards: ``[R, T]`` float32, 0 after the end.
    """

    batch: Batch
    rewards: Tensor

    @property
    def returns(self) -> Tensor:
        """The sum of each episode's rewards, ``[R]``."""
        return self.rewards.sum(1)

    def loss(self, losses: Tensor, **metrics: float | Tensor) -> Loss:
        """The mean of ``losses`` per episode ``[R]`` or per source ``[B]``, with common metrics."""
        length = self.batch.tokens / len(self.batch)
        metrics = {"reward": self.returns.mean(), "length": length, **metrics}
        return Loss(losses.sum(), len(losses), metrics, self.batch.tokens)


def generate_episodes(
    policy: Policy,
    reward: Reward,
    batch: Batch,
    uniform: Callable[..., Tensor] | None,
    samples: int = 1,
    forced: Tensor | None = None,
) -> ScoredEpisodes:
    """Sample episodes from the policy, each up to its source's limit, and score them.

    Args:
        policy: generates.
        reward: scores.
        batch: B sources.
        uniform: source of random numbers, ``clock.uniform``; None: generate greedily.
        samples: K, episodes per source.
        forced: ``[B, K, F]``, first actions, followed by PAD. They are kept beyond the limit too.
    """
    batch = batch.rows(torch.arange(len(batch)).repeat_interleave(samples))  # [B·K] = [R]
    limit, noise = batch.limit, None
    if forced is not None:
        forced = forced.flatten(0, 1)  # [R, F]
        limit = limit.maximum((forced != PAD).sum(1).cpu())
    if uniform is not None:
        # T comes before K, so that a row's numbers do not depend on the T of its batch.
        noise = uniform("episodes", batch.row[::samples], int(limit.max()), samples)  # [B, T, K]
        noise = noise.mT.flatten(0, 1)  # [R, T]
    trajectories = rollout(policy, batch.source, limit, noise, forced=forced)
    rewards = compute_rewards(reward, batch.index, trajectories)
    return ScoredEpisodes(batch.with_episodes(trajectories), rewards.float())


def log_probs_of(policy: Policy, batch: Batch) -> tuple[Tensor, Tensor]:
    """Log-probabilities ``[R, T]`` of the actions in ``batch``, and features ``[N, D]`` of states.

    They are those of generation, without dropout and without PAD and BOS. Otherwise the samples
    would come from another policy and the gradient would be biased.
    """
    action = select_positions(batch.target, batch.mask_cpu) - EOS  # [N]

    def chunk_log_probs(chunk: Tensor, action: Tensor) -> Tensor:
        logits = policy.head(chunk)[:, EOS:].float()  # PAD and BOS come before EOS
        return -F.cross_entropy(logits, action, reduction="none")  # [n]

    with without_dropout(policy):
        features = policy.features(*batch.states)  # [N, D]
    split = list(chunks(batch, policy.vocabulary_size))
    log_probs = [
        recomputed(chunk_log_probs, features[positions], action[positions], needed=len(split) > 1)
        for _, positions in split
    ]
    return padded(torch.cat(log_probs), batch.mask), features


def reverse_kl_loss(policy: Policy, oracle: Oracle, batch: Batch, losses: ReverseKLLosses) -> Loss:
    """The sum of ``losses`` over the N actions of ``batch``, in chunks of whole rows.

    Policy q and oracle p are those of generation, without dropout and without PAD and BOS.

    Args:
        policy: the student, q.
        oracle: p; queried once at every position.
        batch: its targets are generated.
        losses: of the actions of a chunk.

    Returns:
        The loss, with the metric "reverse_kl": the mean of the KL of q to p.
    """
    total_kl = torch.zeros((), device=batch.source.device)

    def chunk_loss(logits: Tensor, rows: Batch, _: slice) -> Tensor:
        action = select_positions(rows.target, rows.mask_cpu)[:, None]  # [n, 1]
        with torch.no_grad():
            log_p = allowed_log_probs(oracle.log_probs(*rows.states))  # [n, V]
        log_q = allowed_log_probs(logits)  # [n, V]
        kl = (log_q.exp() * (log_q - log_p)).sum(-1)  # [n]
        total_kl.add_(kl.detach().sum())
        return losses(kl, log_q.gather(1, action)[:, 0], log_p.gather(1, action)[:, 0], rows).sum()

    with without_dropout(policy):
        loss = chunked_loss(policy, batch, chunk_loss)
    loss.metrics = {"reverse_kl": total_kl / loss.weight}
    return loss


def compute_rewards(reward: Reward, index: Tensor, trajectories: Trajectories) -> Tensor:
    """Rewards ``[R, T]`` of trajectories for the training rows ``index`` ``[R]``.

    Raises:
        UserError: a reward is not finite.
    """
    rewards = reward(index.cpu(), trajectories)
    invalid = np.argwhere(~np.isfinite(rewards))
    if len(invalid):
        row, step = invalid[0].tolist()
        raise UserError(
            f"the reward of training row {int(index[row])} at step {step + 1} is "
            f"{rewards[row, step]}: rewards must be finite; choose another reward= or fix the "
            "function"
        )
    return torch.from_numpy(rewards).to(trajectories.action.device)
