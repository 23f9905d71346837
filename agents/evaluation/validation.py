"""The score of a policy in training, on some rows of the validation split."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F

from agents.evaluation.outputs import generate, subset
from agents.generation.decoder import Decoder
from agents.generation.rollout import eval_mode
from agents.precision import precision
from textgen_env.data.batching import sequential_batches
from textgen_env.data.split import Split
from textgen_env.metrics.scores import corpus_score
from textgen_env.tasks.task import Task
from textgen_env.types import Policy

TOKENS = 1024  # positions whose logits are in memory together


def mean_nll(policy: Policy, task: Task, split: Split, amp: str, device: str) -> float:
    """Negative log-likelihood of the references, nats a token."""
    total, tokens = 0.0, 0
    with eval_mode(policy), precision(amp, device):
        for batch in sequential_batches(split, TOKENS, task.limit):
            batch = batch.to(device)
            logits = policy(batch.source, batch.prefix, batch.mask)  # [N, V]
            total += F.cross_entropy(
                logits.float(), batch.target[batch.mask], reduction="sum"
            ).item()
            tokens += batch.tokens
    return total / tokens


def validator(
    policy: Policy, task: Task, rows: int, amp: str, device: str
) -> Callable[[], dict[str, float]]:
    """A function for the trainer: greedy score (first) and NLL on ``rows`` rows of the validation split."""
    split, decoder = subset(task.splits["valid"], rows), Decoder(policy, 1, amp, device)

    def validate() -> dict[str, float]:
        scores = corpus_score(
            task.metric, generate(decoder, task, split), split.texts.references, resamples=0
        )
        name, first = next(iter(scores.items()))
        return {
            f"valid_{name}": first.value,
            "valid_loss": mean_nll(policy, task, split, amp, device),
        }

    return validate
