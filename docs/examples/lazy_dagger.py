"""LazyDAgger (Hoque et al. 2021) for text, an example of a new algorithm in one file.

PYTHONPATH=docs/examples python experiments/dagger.py algorithm=lazy_dagger.LazyDAgger
"""

import torch

from agents.algorithms import Algorithm
from agents.generation.interleaved import interleaved
from agents.losses.sequence import clone
from textgen_env.errors import UserError


class LazyDAgger(Algorithm):
    """Let the expert act while the student would deviate from it.

    The discrepancy is 1 minus the student's probability of the expert's action. Two thresholds
    avoid frequent switching. The original spares a human; here the expert labels every step.

    Args:
        take: the expert takes over above this discrepancy
        give: the expert returns control at or below this discrepancy; at most take
    """

    def __init__(self, policy, oracle, take: float = 0.9, give: float = 0.5):
        super().__init__()
        if not 0 <= give <= take <= 1:
            raise UserError(f"give={give} take={take}: must satisfy 0 ≤ give ≤ take ≤ 1")
        self.policy, self.oracle, self.take, self.give = policy, oracle, take, give

    def choose(self, own, expert, control, noise):
        """Decide for each row who acts: the argument ``choose`` of ``interleaved``."""
        action = expert.argmax(-1)  # [N]
        discrepancy = 1 - own.softmax(-1).gather(1, action[:, None]).squeeze(1)
        control = discrepancy > torch.where(control, self.give, self.take)
        return torch.where(control, action, own.argmax(-1)), control, control

    def loss(self, batch, clock):
        """NLL of the expert's actions on the prefixes that both generated."""
        nobody = torch.zeros(len(batch), dtype=torch.bool, device=batch.source.device)
        generate = interleaved(self.policy, self.oracle, self.choose)
        mixed = generate(batch.source, batch.limit, memory=nobody)
        batch = batch.with_rows(~nobody, mixed.episodes)
        labels = self.oracle.action(batch.source, batch.prefix, batch.mask_cpu)
        loss = clone(self.policy, batch, labels)
        loss.metrics = {"expert": mixed.expert.sum() / batch.tokens}
        return loss
