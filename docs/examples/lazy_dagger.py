"""LazyDAgger (Hoque et al. 2021) for text: a new algorithm in one file.

Nothing registers it; name it on the command line:

    PYTHONPATH=docs/examples python experiments/dagger.py env=Copy-v0 \
        algorithm=lazy_dagger.LazyDAgger algorithm.take=0.8
"""

import torch

from agents.algorithms import Algorithm
from agents.generation.interleaved import interleaved
from agents.losses.sequence import clone
from textgen_env.errors import UserError


class LazyDAgger(Algorithm):
    """Let the expert act while the student would deviate from it.

    The discrepancy is 1 minus the student's probability of the expert's action. The expert takes
    over where it exceeds ``take`` and acts until it is at most ``give``; two thresholds avoid
    frequent switching (SafeDAgger has one; Zhang & Cho 2017). The student learns the expert's
    actions on all prefixes. The paper spares a human expert; here it is queried at every step.

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
        mixed = interleaved(self.policy, self.oracle, self.choose)(
            batch.source, batch.limit, memory=nobody
        )
        batch = batch.with_rows(~nobody, mixed.episodes)
        loss = clone(
            self.policy, batch, self.oracle.action(batch.source, batch.prefix, batch.mask_cpu)
        )
        switches = (mixed.expert[:, 1:] != mixed.expert[:, :-1]) & batch.mask[:, 1:]
        loss.metrics = {
            "expert": mixed.expert.sum() / batch.tokens,
            "switches": switches.sum() / len(batch),
        }
        return loss
