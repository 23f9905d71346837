"""Roll a policy out in the task without a gradient: the student's own prefixes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn

from agents.generation.decoding import decode
from textgen_env.profiler import count, phase
from textgen_env.types import PAD, Policy, Trajectories


@contextmanager
def acting(policy: Policy) -> Iterator[None]:
    """Evaluation mode and no gradient, recorded as decoding; training mode is restored afterwards."""
    training = policy.training
    policy.train(False)
    try:
        with torch.no_grad(), phase("decode"):
            yield
    finally:
        policy.train(training)


@contextmanager
def without_dropout(policy: Policy) -> Iterator[None]:
    """Evaluation mode with gradients; recurrent layers stay in training mode, which cuDNN wants for their gradient."""
    modes = {module: module.training for module in policy.modules()}
    for module in modes:
        module.training = isinstance(module, nn.RNNBase)
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def frozen(policy: Policy) -> Policy:
    """A copy that stays as ``policy`` is now."""
    copy = deepcopy(policy).train(False)
    for weight in copy.parameters():
        weight.requires_grad_(False)
    return copy


def rollout(
    policy: Policy,
    source: Tensor,
    limit: int | Tensor,
    noise: Tensor | None = None,
    top_k: int = 0,
    forced: Tensor | None = None,
) -> Trajectories:
    """The policy's own episodes, in evaluation mode and without a gradient.

    Args:
        policy: generates.
        source: ``[B, S]``.
        limit: on the length, EOS included: one number, or int64 ``[B]``.
        noise: uniform numbers ``[B, T]`` to sample with; None: greedily.
        top_k: sample among this many most likely tokens; 0: among all, 1: greedily.
        forced: ``[B, F]``, the first actions of each; PAD where the policy is free.
    """
    with acting(policy):
        episodes = decode(policy, source, limit, False, top_k, noise=noise, forced=forced)
    generated = (
        episodes.length
        if forced is None
        else (episodes.length - (forced != PAD).sum(1)).clamp(min=0)
    )
    count("decoded", int(generated.sum()))
    return episodes
