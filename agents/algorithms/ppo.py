"""PPO: several steps on the same episodes, none of them far from the policy that wrote them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor, nn

from agents.algorithms import Algorithm, LossOutput
from agents.estimators.baselines import Critic
from agents.estimators.returns import Played, Player, Reward, act_log_probs, generalised_advantage, per_episode
from agents.generation.rollout import acting, frozen
from textgen_env.errors import Range, check_range
from textgen_env.types import Batch, Oracle, Policy


@dataclass(frozen=True)
class Memory:
    """R episodes of N actions that still serve: index … length as in ``Batch``, then ``[N]`` each, then ``[R]``."""

    index: Tensor
    source: Tensor
    target: Tensor
    length: Tensor
    log_probs: Tensor  # of the actions, under the policy that wrote them
    advantage: Tensor
    returns: Tensor
    total: Tensor  # what an episode earned, without the penalty
    kl: Tensor  # its log-ratio to the starting policy

    @property
    def batch(self) -> Batch:
        """The episodes."""
        return Batch(self.index, self.source, self.target, self.length, limit=self.length)  # they are written already


class PPO(Algorithm):
    """Maximise Σ_t min(ρ_t Â_t, clip(ρ_t, 1 - ε, 1 + ε) Â_t), ρ_t = π(a_t | s_t) / π_old(a_t | s_t) (Schulman et al. 2017).

    One call of ``loss`` is one gradient step: every ``epochs``-th writes for the batch it is given and remembers that; the
    others go over what is remembered once more and leave their batch alone.  The rewards are those of the task less
    kl · log(π_old / π₀) of every action, π₀ the starting policy (Ziegler et al. 2019, equation 2).

    Args:
        samples: sequences written for each source; the batch grows by as much.
        epochs: gradient steps on the same episodes.
        clip: ε, how far a probability ratio may go and still be pushed further.
        trace: λ of the generalised advantage estimate; 1: the whole reward to go less the critic's value.
        kl: price of a nat away from the starting policy; 0: free.
        cold_start: allow a student that was not trained before.
    """

    needs_start = True

    def __init__(
        self,
        policy: Policy,
        oracle: Oracle,
        generator: torch.Generator,
        reward: Reward,
        samples: int = 4,
        epochs: int = 4,
        clip: float = 0.2,
        trace: float = 0.95,
        kl: float = 0.01,
        cold_start: bool = False,
    ) -> None:
        check_range("samples", samples, Range(1, 1000))
        check_range("epochs", epochs, Range(1, 1000))
        check_range("clip", clip, Range(0, 10**6, "least"))
        check_range("trace", trace, Range(0, 1))
        check_range("kl", kl, Range(0, 10**6))
        self.policy, self.start, self.needs_start = policy, frozen(policy), not cold_start
        self.samples, self.epochs, self.clip, self.trace, self.kl = samples, epochs, clip, trace, kl
        self.player = Player(policy, oracle, generator, reward)
        self.critic = Critic(policy.feature_width).to(next(policy.parameters()).device)
        self.memory: Memory
        self.left = 0  # steps still to be taken on the memory

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        """The clipped surrogate and the critic's error, on episodes that are kept for ``epochs`` updates."""
        played = None if self.left else self.player.write(batch, self.samples)
        batch = played.batch if played else self.memory.batch
        log_probs, features = act_log_probs(self.policy, batch)  # [N], [N, D]
        values = self.critic(features)  # [N]
        if played:
            self.memory, self.left = self.remember(played, log_probs.detach(), values.detach()), self.epochs
        self.left -= 1
        memory = self.memory
        ratio = (log_probs - memory.log_probs).exp()  # [N]
        gain = torch.minimum(ratio * memory.advantage, ratio.clamp(1 - self.clip, 1 + self.clip) * memory.advantage)
        loss = self.critic.loss(values, memory.returns) - gain.sum() / len(batch)
        figures = {
            "reward": memory.total.mean().item(),
            "kl": memory.kl.mean().item(),
            "clipped": ((ratio - 1).abs() > self.clip).float().mean().item(),
        }
        return LossOutput(loss, batch.tokens, figures, played.decoded if played else 0, played.scored if played else 0)

    def remember(self, played: Played, log_probs: Tensor, values: Tensor) -> Memory:
        """What the steps on ``played`` need to know of the policy that wrote it: log_probs, values ``[N]``."""
        batch, mask = played.batch, played.batch.mask
        with acting(self.start):
            away = log_probs - act_log_probs(self.start, batch)[0]  # [N]
        rewards, value = played.rewards.clone(), torch.zeros_like(played.rewards)  # [R, T]
        rewards[mask] -= self.kl * away
        value[mask] = values
        advantage = generalised_advantage(rewards, value, self.trace)[mask]  # [N]
        return Memory(
            *(batch.index, batch.source, batch.target, batch.length),
            *(log_probs, advantage, advantage + values, played.total, per_episode(away, batch.length)),
        )

    def parameters(self) -> Iterable[nn.Parameter]:
        return self.critic.parameters()

    def state_dict(self) -> dict[str, Tensor]:
        parts = {"critic": self.critic.state_dict(), "memory": vars(self.memory) if self.left else {}}
        tensors = {f"{part}.{name}": tensor for part, named in parts.items() for name, tensor in named.items()}
        return {**tensors, "left": torch.tensor(self.left)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.critic.load_state_dict({name: state[f"critic.{name}"] for name in self.critic.state_dict()})
        self.left = int(state["left"])
        if self.left:
            device = self.critic.weight.device
            saved = {each.name: state[f"memory.{each.name}"] for each in fields(Memory)}
            self.memory = Memory(**{name: part if name == "length" else part.to(device) for name, part in saved.items()})


NAMES = {"ppo": partial(PPO)}
