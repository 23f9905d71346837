"""A transformers model as a policy over the vocabulary of its own tokenizer: a teacher, not a student architecture."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.types import EOS, LOG_ZERO, PAD, select_positions


class HuggingFacePolicy(nn.Module):
    """π(a | s) of an encoder–decoder or a decoder-only model; see ``textgen_env.types.Policy`` for the contract.

    An encoder encodes ``opening`` and the source, and its decoder is given ``closing``, then the prefix.  A decoder-only model
    is given ``opening``, the source, ``closing``, then the prefix.

    Args:
        model: A model of transformers.
        vocabulary: V tokens.
        ids: The model's id of each of them.  A token without one (None) is encoded as EOS and never generated.  What only
            the model has (special tokens, padding of its output layer) gets no logit.
        opening: Model ids before the source.
        closing: Model ids before the prefix.
        keeps_eos: Decoder-only: whether the source's EOS stands before ``closing``.
    """

    ids: Tensor  # [V]
    absent: Tensor  # tokens of the vocabulary that the model lacks
    opening: Tensor
    closing: Tensor

    def __init__(
        self,
        model: Any,
        vocabulary: Vocabulary,
        ids: Sequence[int | None],
        opening: Sequence[int],
        closing: Sequence[int],
        keeps_eos: bool = True,
    ) -> None:
        super().__init__()
        self.model, self.vocabulary, self.vocabulary_size = model, vocabulary, len(vocabulary)
        self.feature_width = model.get_output_embeddings().weight.shape[1]
        self.keeps_eos = keeps_eos
        self.has_encoder = bool(model.config.is_encoder_decoder)
        parameters = inspect.signature(model.forward).parameters
        self.takes_positions = "position_ids" in parameters
        self.cache_name = (
            "cache" if "cache" in parameters else "past_key_values"
        )  # of transformers 5 and 4
        known = [ids[EOS] if theirs is None else theirs for theirs in ids]
        absent = [ours for ours, theirs in enumerate(ids) if theirs is None]
        for name, value in {
            "ids": known,
            "absent": absent,
            "opening": opening,
            "closing": closing,
        }.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.int64))

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits ``[B, T, V]``, or ``[N, V]`` where ``mask`` ``[B, T]`` is True."""
        return self.head(self.features(source, prefix, mask))

    def features(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """The input of the model's output layer: ``[B, T, D]``, or ``[N, D]`` where ``mask`` ``[B, T]`` is True."""
        state = self.start(source, prefix.shape[1])
        tokens = torch.cat([state.prompt, self.ids[prefix[:, 1:]]], 1)  # [B, P + T - 1]
        hidden, skipped = (
            self._run(self.inputs(tokens, state))[0],
            state.prompt.shape[1] - 1,
        )  # [B, P + T - 1, D]
        return (
            hidden[:, skipped:]
            if mask is None
            else select_positions(hidden, F.pad(mask, (skipped, 0)))
        )

    def head(self, features: Tensor) -> Tensor:
        """The model's logits for ``features`` ``[…, D]`` → ``[…, V]``."""
        model, config = self.model, self.model.config
        logits = model.get_output_embeddings()(features)  # [..., theirs]
        logits = logits + getattr(model, "final_logits_bias", 0.0)  # BART and its relatives
        logits = (
            logits * getattr(model, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0)
        )  # Cohere, Granite
        if cap := getattr(config, "final_logit_softcapping", None):  # Gemma
            logits = cap * torch.tanh(logits / cap)
        return self.ours(logits)

    def ours(self, logits: Tensor) -> Tensor:
        """The vocabulary's columns of the model's logits: ``[…, theirs]`` → ``[…, V]``."""
        return logits.index_select(-1, self.ids).index_fill_(-1, self.absent, LOG_ZERO)

    def start(self, source: Tensor, limit: int) -> State:
        """Encode once, or lay out the prompt; the cache grows step by step, whatever the ``limit``."""
        source = source[
            :, : max(1, int((source != PAD).any(0).sum()))
        ]  # the model may have no position for more padding
        opening, closing = (
            self.opening.expand(len(source), -1),
            self.closing.expand(len(source), -1),
        )
        tokens = torch.cat([opening, self.ids[source]], 1)  # [B, S]
        absent = source == PAD if self.keeps_eos else (source == PAD) | (source == EOS)
        present = F.pad((~absent).long(), (opening.shape[1], 0), value=1)  # [B, S]
        if self.has_encoder:
            encoded = self.model.get_encoder()(
                input_ids=tokens, attention_mask=present
            ).last_hidden_state
            return State(0, closing, present, encoded, None)
        left = present.argsort(
            dim=1, stable=True
        )  # left padding, as MPT's ALiBi counts distances by position
        prompt = torch.cat([tokens.gather(1, left), closing], 1)  # [B, P]
        return State(
            0, prompt, F.pad(present.gather(1, left), (0, closing.shape[1]), value=1), None, None
        )

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """One step for ``token`` ``[B]`` (BOS first) → ``[B, V]``; the cache in ``state`` grows: do not use it again."""
        tokens = self.ids[token][:, None] if state.time else state.prompt
        hidden, cache = self._run(self.inputs(tokens, state) | {"use_cache": True})
        return self.head(hidden[:, -1]), replace(
            state, time=state.time + tokens.shape[1], cache=cache
        )

    def inputs(self, tokens: Tensor, state: State) -> dict[str, Any]:
        """The model's arguments for ``tokens`` ``[B, N]``, which follow the ``state.time`` tokens in the cache."""
        options: dict[str, Any] = {self.cache_name: state.cache, "use_cache": False}
        if self.has_encoder:
            memory = {"encoder_outputs": (state.encoded,), "attention_mask": state.present}
            return {"decoder_input_ids": tokens, **memory, **options}
        present = F.pad(
            state.present, (0, state.time + tokens.shape[1] - state.present.shape[1]), value=1
        )
        if self.takes_positions:
            options["position_ids"] = (present.cumsum(1) - 1).clamp(min=0)[:, state.time :]
        return {"input_ids": tokens, "attention_mask": present, **options}

    def _run(self, inputs: dict[str, Any]) -> tuple[Tensor, Any]:
        """The input of the output layer ``[B, N, D]``, and the cache; the output layer itself gets no position to compute."""
        hidden: list[Tensor] = []

        def capture(layer: nn.Module, args: tuple[Tensor]) -> Tensor:
            hidden.append(args[0])
            return args[0][:, :0]

        with self.model.get_output_embeddings().register_forward_pre_hook(capture):
            output = self.model(**inputs)
        return hidden[0], output[self.cache_name] if inputs["use_cache"] else None

    def check_limits(self, source_limit: int, horizon: int) -> None:
        """UserError when a source and a target of these lengths take more positions than the model has."""
        sizes = (len(self.opening) + source_limit, len(self.closing) + horizon - 1)
        needed = max(sizes) if self.has_encoder else sum(sizes)
        positions = getattr(self.model.config, "max_position_embeddings", needed)
        if needed > positions:
            raise UserError(
                f"the teacher has {positions} positions and needs {needed}: lower env.source_limit or env.horizon"
            )


@dataclass(frozen=True, slots=True)
class State:
    """A decode after ``time`` tokens.

    prompt ``[B, P]``: tokens of the first step · present: 1 where there is a token, for the encoder ``[B, S]`` or, without
    one, for the prompt ``[B, P]`` · encoded ``[B, S, D]`` or None · cache: the model's own; None before the first step.
    """

    time: int
    prompt: Tensor
    present: Tensor
    encoded: Tensor | None
    cache: Any

    def select(self, index: Tensor) -> State:
        """Rows ``index``; the cache is reordered in place: do not use this state again."""
        if torch.equal(index, torch.arange(len(self.prompt), device=index.device)):
            return self
        if self.cache is not None:
            self.cache.reorder_cache(index)
        encoded = None if self.encoded is None else self.encoded[index]
        return replace(
            self, prompt=self.prompt[index], present=self.present[index], encoded=encoded
        )
