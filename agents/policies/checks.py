"""Checks of a Hugging Face model before it is used as a policy."""

from __future__ import annotations

from typing import Any

from agents.policies.tokenizer import PretrainedTokenizer
from textgen_env.errors import UserError
from textgen_env.types import EOS


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
