"""LazyDAgger (Hoque et al., CASE 2021) for text, an example of a new algorithm in one file.

Run it by PYTHONPATH=docs/examples and algorithm._target_=lazy_dagger.LazyDAgger.
"""

import torch

from agents.algorithms import Algorithm
from agents.generation.interleaved import interleaved
from agents.losses.sequence import clone
from textgen_env.errors import UserError


class LazyDAgger(Algorithm):
    """The student generates until it would deviate; then the expert does, until they agree again.

    Control depends on the discrepancy, 1 minus the student's probability of the expert's action.
    Two thresholds prevent switching at every step (one: SafeDAgger, Zhang & Cho 2017). The original
    spares a human expert; this version queries its expert at every step.

    Args:
        take: the expert takes over where the discrepancy is larger than this
        give: the expert gives control back where it is at most this; at most ``take``
    """

    def __init__(self, policy, oracle, take: float = 0.9, give: float = 0.5):
        super().__init__()
        if not 0 <= give <= take <= 1:
            raise UserError(f"give={give} take={take}: 0 ≤ give ≤ take ≤ 1")
        self.policy, self.oracle, self.take, self.give = policy, oracle, take, give

    def choose(self, own, expert, control, noise):
        action = expert.argmax(-1)  # [N]
        discrepancy = 1 - own.softmax(-1).gather(1, action[:, None]).squeeze(1)
        control = discrepancy > torch.where(control, self.give, self.take)
        return torch.where(control, action, own.argmax(-1)), control, control

    def loss(self, batch, clock):
        nobody = torch.zeros(len(batch), dtype=torch.bool, device=batch.source.device)
        mixed = interleaved(self.policy, self.oracle, self.choose)(
            batch.source, batch.limit, memory=nobody
        )
        batch = batch.with_rows(~nobody, mixed.episodes)
        loss = clone(
            self.policy, batch, self.oracle.action(batch.source, batch.prefix, batch.actual)
        )
        switches = (mixed.expert[:, 1:] != mixed.expert[:, :-1]) & batch.mask[:, 1:]
        loss.metrics = {
            "expert": mixed.expert.sum() / batch.tokens,
            "switches": switches.sum() / len(batch),
        }
        return loss
