"""Rolling a policy out leaves it as it was."""

import torch

from agents.generation.rollout import acting, roll_out
from agents.policies.transformer import Transformer


def test_acting_restores_the_mode_and_stops_gradients():
    layer = torch.nn.Linear(2, 2)
    with acting(layer):
        assert not layer.training
        assert not layer(torch.ones(1, 2)).requires_grad
    assert layer.training
    layer.eval()
    with acting(layer):
        pass
    assert not layer.training


def test_a_roll_out_draws_only_from_its_generator():
    policy = Transformer(9, layers=1, width=8, heads=2, ffn=8, dropout=0.5)
    source = torch.tensor([[4, 5, 6, 2], [7, 2, 0, 0]])
    state = policy.generator.get_state()
    drawn = [roll_out(policy, source, 6, torch.Generator().manual_seed(seed), top_k=0).action for seed in (1, 1, 2, 3, 4)]
    assert torch.equal(policy.generator.get_state(), state)
    assert torch.equal(drawn[0], drawn[1])
    assert any(drawn[0].shape != other.shape or not torch.equal(drawn[0], other) for other in drawn[2:])
    greedy = [roll_out(policy, source, 6, torch.Generator().manual_seed(seed)).action for seed in (1, 2)]
    assert torch.equal(*greedy)
