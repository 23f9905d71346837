"""A transformers model, seen as a policy over its own tokenizer's vocabulary: a teacher, not a student architecture."""

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
from textgen_env.oracles.oracle import LOG_ZERO
from textgen_env.types import EOS, PAD, picked


class HuggingFacePolicy(nn.Module):
    """π(a | s) of an encoder–decoder or a decoder-only model; see ``textgen_env.types.Policy`` for what it promises.

    ids: the model's id for each of the vocabulary's, None where it has none: that is read as EOS and never written.  What only
    the model has (special tokens, the padding of its output layer) gets no logit.
    With an encoder: it reads ``opening`` and the source; the decoder reads ``closing``, then the prefix.
    Without: the model reads ``opening``, the source, ``closing``, then the prefix; ``keeps_eos`` says whether the source's EOS
    stands before ``closing``.
    """

    ids: Tensor  # [V]
    absent: Tensor  # those of the vocabulary's that the model has not
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
        self.keeps_eos = keeps_eos
        self.has_encoder = bool(model.config.is_encoder_decoder)
        self.takes_positions = "position_ids" in inspect.signature(model.forward).parameters
        known = [ids[EOS] if theirs is None else theirs for theirs in ids]
        absent = [ours for ours, theirs in enumerate(ids) if theirs is None]
        for name, value in {"ids": known, "absent": absent, "opening": opening, "closing": closing}.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.int64))  # a part of what it is, as weights are

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits ``[B, T, V]``, or ``[N, V]`` where ``mask`` ``[B, T]`` is True."""
        state = self.start(source, prefix.shape[1])
        tokens = torch.cat([state.prompt, self.ids[prefix[:, 1:]]], 1)  # [B, P + T - 1]
        logits, skipped = self._read(tokens, state, cached=False).logits, state.prompt.shape[1] - 1  # [B, P + T - 1, theirs]
        return self._ours(logits[:, skipped:] if mask is None else picked(logits, F.pad(mask, (skipped, 0))))

    def start(self, source: Tensor, steps: int) -> State:
        """Encode once, or lay out the prompt; the cache grows as steps come."""
        source = source[:, : max(1, int((source != PAD).any(0).sum()))]  # the model may have no position for more padding
        opening, closing = self.opening.expand(len(source), -1), self.closing.expand(len(source), -1)
        tokens = torch.cat([opening, self.ids[source]], 1)  # [B, S]
        absent = source == PAD if self.keeps_eos else (source == PAD) | (source == EOS)
        present = F.pad((~absent).long(), (opening.shape[1], 0), value=1)  # [B, S]
        if self.has_encoder:
            encoded = self.model.get_encoder()(input_ids=tokens, attention_mask=present).last_hidden_state
            return State(0, closing, present, encoded, None)
        left = present.argsort(dim=1, stable=True)  # padding to the left: some count distances by place (MPT's ALiBi)
        prompt = torch.cat([tokens.gather(1, left), closing], 1)  # [B, P]
        return State(0, prompt, F.pad(present.gather(1, left), (0, closing.shape[1]), value=1), None, None)

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """One step for ``token`` ``[B]`` (BOS first) → ``[B, V]``; the cache in ``state`` grows: do not use it again."""
        tokens = self.ids[token][:, None] if state.time else state.prompt
        output = self._read(tokens, state, cached=True)
        state = replace(state, time=state.time + tokens.shape[1], cache=output.past_key_values)
        return self._ours(output.logits[:, -1]), state

    def _read(self, tokens: Tensor, state: State, cached: bool) -> Any:
        """The model's output for ``tokens`` ``[B, N]``, which follow the ``state.time`` tokens in the cache."""
        options: dict[str, Any] = {"past_key_values": state.cache, "use_cache": cached}
        if self.has_encoder:
            memory = {"encoder_outputs": (state.encoded,), "attention_mask": state.present}
            return self.model(decoder_input_ids=tokens, **memory, **options)
        present = F.pad(state.present, (0, state.time + tokens.shape[1] - state.present.shape[1]), value=1)
        if self.takes_positions:
            options["position_ids"] = (present.cumsum(1) - 1).clamp(min=0)[:, state.time :]
        return self.model(input_ids=tokens, attention_mask=present, **options)

    def _ours(self, logits: Tensor) -> Tensor:
        """``[…, theirs]`` → ``[…, V]``."""
        return logits.index_select(-1, self.ids).index_fill_(-1, self.absent, LOG_ZERO)

    def check_room(self, source_limit: int, horizon: int) -> None:
        """UserError when a source and a target of these lengths have more positions than the model was made for."""
        sizes = (len(self.opening) + source_limit, len(self.closing) + horizon - 1)
        needed = max(sizes) if self.has_encoder else sum(sizes)
        most = getattr(self.model.config, "max_position_embeddings", needed)
        if needed > most:
            raise UserError(f"the teacher has {most} positions and needs {needed}: lower env.source_limit or env.horizon")


@dataclass(frozen=True, slots=True)
class State:
    """A decode after ``time`` tokens.

    prompt ``[B, P]``: what the first step reads · present: 1 where there is a token, among those of the encoder ``[B, S]`` or,
    without one, of the prompt ``[B, P]`` · encoded ``[B, S, D]`` or None · cache: the model's own; None before the first step.
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
        return replace(self, prompt=self.prompt[index], present=self.present[index], encoded=encoded)
