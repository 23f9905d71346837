"""Which Hugging Face models can be a policy: by type, by tokenizer, and by a check of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.tokenizer import PretrainedTokenizer
from textgen_env.errors import UserError
from textgen_env.types import BOS, EOS, LOG_ZERO, PAD

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
    positions = getattr(config, "max_position_embeddings", 0)
    window = getattr(config, "sliding_window", None) or positions
    if kind in CROPPED and version.startswith("4.") and window < positions:
        raise UserError(
            f"transformers {version} decodes a {kind} model wrongly beyond its sliding window of "
            f"{window:,} tokens: update to transformers 5"
        )


def check_tokenizer(model: Any, tokenizer: PretrainedTokenizer) -> None:
    """Raise UserError unless the model has all ids of its tokenizer, and the same EOS."""
    size = model.get_output_embeddings().weight.shape[0]
    highest = max(model_id for model_id in tokenizer.ids if model_id is not None)
    if highest >= size:
        raise UserError(
            f"tokenizer and model do not match: the tokenizer has ids up to {highest:,}, "
            f"the model only {size:,} tokens"
        )
    eos, model_eos = tokenizer.ids[EOS], model.generation_config.eos_token_id
    if (
        tokenizer.template is None
        and model_eos is not None
        and eos not in (model_eos if isinstance(model_eos, list) else [model_eos])
    ):
        raise UserError(
            f"tokenizer and model do not match: EOS is {eos} in the tokenizer, "
            f"{model_eos} in the model"
        )
    if model.config.is_encoder_decoder and tokenizer.appended not in ([], [eos]):
        raise UserError("its tokenizer appends tokens other than EOS, which is not supported")


@torch.no_grad()
def check_identities(policy: HuggingFacePolicy) -> None:
    """Check on two short rows that the policy keeps the identities of ``textgen_env.types.Policy``.

    Raises:
        UserError: It does not; the message has the reason.
    """
    refusal = f"a {policy.model.config.model_type} model cannot be used: "
    try:
        for reason, actual, expected in _identities(policy):
            rounding = 1e-3 if expected.dtype == torch.float32 else 5e-2
            tolerance = rounding * max(1.0, expected[expected > LOG_ZERO].abs().max().item())
            if not bool((actual - expected).abs().max() < tolerance):
                raise UserError(refusal + reason)
    except UserError:
        raise
    except Exception as error:  # a model may raise errors of any type
        raise UserError(f"{refusal}{type(error).__name__}: {error}") from error


def _identities(policy: HuggingFacePolicy) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield what is wrong if two tensors of logits differ, and the two."""
    token = policy.vocabulary_size - 1
    source = torch.tensor([[token, token, token, EOS], [token, EOS, PAD, PAD]])
    prefix = torch.tensor([[BOS, token, EOS, token], [BOS, EOS, token, token]])
    logits = policy(source, prefix)  # [B, T, V]
    single = policy(source[1:, :2], prefix[1:, :3])[0]
    yield "it attends to later tokens or to padding", single, logits[1, :3]

    state = policy.start(source, 3)
    output = policy.model(**policy.model_inputs(state.prompt, state))
    direct = policy.vocabulary_logits(output.logits[:, -1])
    yield "its logits are not those of its output layer", direct, logits[:, 0]

    rows = torch.tensor([1, 0, 1])
    _, state = policy.step(prefix[:, 0], state)
    second, state = policy.step(prefix[rows, 1], state.select(rows))
    third, _ = policy.step(prefix[rows, 2], state)
    yield "its cache changes its logits", torch.stack([second, third], 1), logits[rows, 1:3]
