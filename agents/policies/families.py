"""Hugging Face models that are safe to load but cannot be a policy, and why."""

from __future__ import annotations

from typing import Any

from textgen_env.errors import UserError

_CAPACITY = "its experts drop tokens beyond their capacity, so scores depend on the batch"
REASONS = {  # model type: the identity of a policy that it breaks
    "nllb-moe": _CAPACITY,
    "switch_transformers": _CAPACITY,
    "prophetnet": "it predicts several tokens at once",
}
# types whose cache transformers 4 crops to the sliding window but masks as if it were whole
CROPPED = {"phimoe", "qwen2_moe"}


def check_family(config: Any, version: str) -> None:
    """Raise UserError if a model of this config breaks an identity of ``textgen_env.types.Policy``.

    Args:
        config: The model's config.
        version: Of transformers.
    """
    kind = config.model_type
    if reason := REASONS.get(kind):
        raise UserError(f"a {kind} model cannot be used: {reason}")
    if getattr(config, "attention_type", None) == "block_sparse":
        raise UserError(
            f"a {kind} model with random sparse attention cannot be used: "
            'set "attention_type": "original_full" in its config.json'
        )
    window = getattr(config, "sliding_window", None) or config.max_position_embeddings
    if kind in CROPPED and version.startswith("4.") and window < config.max_position_embeddings:
        raise UserError(
            f"transformers {version} decodes a {kind} model wrongly beyond its sliding window of "
            f"{window} tokens: update to transformers 5"
        )
