"""Validates a policy during training on a subset of the validation split."""

from __future__ import annotations

from collections.abc import Callable

from agents.evaluation.outputs import generate_texts, subset
from agents.generation.decoder import Decoder
from agents.generation.rollout import eval_mode
from agents.losses.sequence import clone
from agents.precision import precision
from textgen_env.data.batching import sequential_batches
from textgen_env.data.split import Split
from textgen_env.errors import UserError
from textgen_env.metrics.scores import corpus_score
from textgen_env.tasks.task import Task
from textgen_env.types import Policy, select_positions

MAX_BATCH_TOKENS = 1024  # padding included


def mean_nll(policy: Policy, task: Task, split: Split, dtype: str, device: str) -> float:
    """Negative log-likelihood of the references, in nats per token.

    Args:
        policy: the policy, on ``device``.
        task: the task of the split.
        split: sources and references.
        dtype: "float32" or "bf16".
        device: torch device.
    """
    total, tokens = 0.0, 0
    with eval_mode(policy), precision(dtype, device):
        for batch in sequential_batches(split, MAX_BATCH_TOKENS, task.limit):
            batch = batch.to(device)
            action = select_positions(batch.target, batch.mask_cpu)  # [N]
            total += clone(policy, batch, action).sum.item()
            tokens += batch.tokens
    return total / tokens


def validator(
    policy: Policy, task: Task, rows: int, dtype: str, device: str
) -> Callable[[], dict[str, float]]:
    """A function for the trainer that validates ``policy`` on ``rows`` validation sentences.

    It returns the task's metric for greedy decoding, then the loss: the trainer takes the first
    entry as the score.
    """
    if not task.splits["valid"].has_references:
        raise UserError(f"{task.id}: the valid split has prompts alone; give it completions")
    split, decoder = subset(task.splits["valid"], rows), Decoder(policy, 1, dtype, device)

    def validate() -> dict[str, float]:
        texts = generate_texts(decoder, task, split)
        scores = corpus_score(task.metric, texts, split.texts.references, resamples=0)
        name, first = next(iter(scores.items()))
        loss = mean_nll(policy, task, split, dtype, device)
        return {f"valid_{name}": first.value, "valid_loss": loss}

    return validate
