"""Rollouts of a policy without a gradient: the student's own prefixes."""

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
def eval_mode(policy: Policy) -> Iterator[None]:
    """Eval mode without gradients, profiled as decoding; training mode is restored afterwards."""
    training = policy.training
    policy.train(False)
    try:
        with torch.no_grad(), phase("decode"):
            yield
    finally:
        policy.train(training)


@contextmanager
def without_dropout(policy: Policy) -> Iterator[None]:
    """Eval mode with gradients; RNN layers stay in training mode, which cuDNN's backward needs."""
    modes = {module: module.training for module in policy.modules()}
    for module in modes:
        module.training = isinstance(module, nn.RNNBase)
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def frozen_copy(policy: Policy) -> Policy:
    """A copy of ``policy`` in eval mode whose weights need no gradient; it shares frozen ones."""
    shared = {id(weight): weight for weight in policy.parameters() if not weight.requires_grad}
    copy = deepcopy(policy, shared).train(False)  # type: ignore[arg-type]
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
    """Generate with the policy, in eval mode and without a gradient.

    Args:
        policy: the policy that generates.
        source: ``[B, S]``.
        limit: maximum length, EOS included: one number, or int64 ``[B]``.
        noise: uniform noise ``[B, T]`` to sample with; None: greedy.
        top_k: sample from this many most likely tokens; 0: all, 1: greedy.
        forced: ``[B, F]`` first tokens of each row; PAD where the policy is free.
    """
    with eval_mode(policy):
        episodes = decode(policy, source, limit, False, top_k, noise=noise, forced=forced)
    generated = episodes.length
    if forced is not None:
        generated = (generated - (forced != PAD).sum(1)).clamp(min=0)
    count("decoded", int(generated.sum()))
    return episodes
