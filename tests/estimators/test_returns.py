"""Returns, advantages and baselines."""

import torch

from agents.estimators.baselines import Critic, RunningMean
from agents.estimators.returns import generalized_advantage, rewards_to_go


def test_generalized_advantages_equal_their_definition():
    rewards = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 0.0]])
    values = torch.tensor([[0.5, -1.0, 2.0], [1.0, 3.0, 0.0]])
    to_go = torch.tensor([[6.0, 5.0, 3.0], [9.0, 5.0, 0.0]])
    errors = torch.tensor([[-0.5, 5.0, 1.0], [6.0, 2.0, 0.0]])  # temporal differences
    assert torch.equal(rewards_to_go(rewards), to_go)
    torch.testing.assert_close(generalized_advantage(rewards, values, 1.0), to_go - values)
    torch.testing.assert_close(generalized_advantage(rewards, values, 0.0), errors)
    first = generalized_advantage(rewards, values, 0.5)[0, 0]
    torch.testing.assert_close(first, errors[0] @ torch.tensor([1.0, 0.5, 0.25]))


def test_the_running_mean_converges_to_the_mean_and_the_critic_to_the_values():
    mask = torch.tensor([[True, True], [True, False]]).repeat(10, 1)
    features = torch.eye(2)[[0, 1, 0]].repeat(10, 1)
    returns = torch.tensor([[3.0, -1.0], [3.0, 99.0]]).repeat(10, 1)  # 99 is masked
    running, critic = RunningMean(), Critic(2)
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.3)
    for _ in range(100):
        assert not running.loss(running(features, mask), returns, mask).any()
        optimizer.zero_grad()
        critic.loss(critic(features, mask), returns, mask).mean().backward()
        optimizer.step()
        running.updated()
        critic.updated()
    torch.testing.assert_close(running(features, mask), 5 / 3 * mask)
    torch.testing.assert_close(critic(features, mask), returns * mask, atol=1e-3, rtol=0)
