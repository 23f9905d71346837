"""Checks of a Hugging Face model before it is used as a policy."""

from __future__ import annotations

from typing import Any

import torch

from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.tokenizer import PretrainedTokenizer
from textgen_env.errors import UserError
from textgen_env.types import BOS, EOS, LOG_ZERO, PAD


def decoder_start(model: Any, prepended: list[int]) -> list[int]:
    """The decoder's input before the first token; models are trained with ``prepended`` in it."""
    generation = model.generation_config
    start, forced = generation.decoder_start_token_id, generation.forced_bos_token_id
    if start is None:
        raise UserError("its config has no decoder_start_token_id")
    if forced is not None:
        return [start, forced]
    return prepended if prepended[:1] == [start] else [start, *prepended]


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
        UserError: The model is not causal, attends to padding, has no consistent cache, or its
            logits differ from ``head``.
    """
    token = policy.vocabulary_size - 1
    source = torch.tensor([[token, token, token, EOS], [token, EOS, PAD, PAD]])
    prefix = torch.tensor([[BOS, token, EOS], [BOS, EOS, token]])
    kind = policy.model.config.model_type
    try:
        batched, single = policy(source, prefix)[1, :2], policy(source[1:, :2], prefix[1:, :2])[0]
        state = policy.start(source, 2)
        output = policy.model(**policy.model_inputs(state.prompt, state))
        direct = policy.vocabulary_logits(output.logits[1, -1])
        _, state = policy.step(prefix[:, 0], state)
        cached, _ = policy.step(prefix[1:, 1], state.select(torch.tensor([1])))
    except Exception as error:
        raise UserError(f"a {kind} model cannot be used ({error})") from error
    rounding = 1e-3 if batched.dtype == torch.float32 else 5e-2
    tolerance = rounding * max(1.0, batched[batched > LOG_ZERO].abs().max().item())
    pairs = [(single, batched), (direct, batched[0]), (cached[0], batched[1])]
    if not all(bool((a - b).abs().max() < tolerance) for a, b in pairs):
        raise UserError(
            f"a {kind} model cannot be used: it is not causal, attends to padding, "
            "or its cache or output layer is inconsistent"
        )
