"""A random policy and sources of different lengths."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from agents.policies.transformer import TransformerPolicy
from textgen_env.types import EOS, PAD

V = 9


@pytest.fixture(scope="package")
def random_policy() -> TransformerPolicy:
    """Its weights are large enough to distinguish the rows and to end some of them early."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(18)
        policy = TransformerPolicy(V, layers=1, width=16, heads=2, ffn=16).eval()
        policy.decoder_norm.weight.mul_(3)
        policy.decoder_norm.bias.copy_(4 * policy.target_embedding.weight[EOS])
        for weight in policy.decoder.parameters():
            weight.mul_(3 if weight.dim() == 2 else 1)
    return policy


@pytest.fixture(scope="package")
def random_source() -> Tensor:
    """``[12, 6]``."""
    source = torch.randint(4, V, (12, 6), generator=torch.Generator().manual_seed(1))
    for row, length in enumerate([6, 5, 4, 3, 2, 1] * 2):
        source[row, length - 1], source[row, length:] = EOS, PAD
    return source
