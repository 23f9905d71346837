"""A Hugging Face model as a policy over the vocabulary of its own tokenizer."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.policies.model_files import Original
from textgen_env.data.chat_template import ChatTemplate
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.types import BOS, EOS, LOG_ZERO, PAD, select_positions

LORA_WEIGHT = ".lora_"  # in the name of every weight of an adapter


class HuggingFacePolicy(nn.Module):
    """An encoder–decoder or decoder-only model; a ``textgen_env.types.Policy``.

    The encoder's input is ``before_source`` and the source; the decoder's is ``before_target`` and
    the prefix. The input of a decoder-only model is the concatenation of the four.

    Args:
        model: A transformers model; weights of it that need no gradients are never trained.
        vocabulary: V tokens.
        ids: The model's id of each token. A token without one (None) is encoded as EOS; it is never
            generated, nor are PAD and BOS. Ids that only the model has, such as the padding of its
            output layer, get no logit.
        before_source: Model ids before the source.
        before_target: Model ids before the prefix.
        keeps_eos: Whether a decoder-only model sees the EOS that ends a source. It always sees one
            inside a source, such as between the turns of a chat.

    Attributes:
        template: of conversations; None of a model that is not for them.
        original: what ``save_files`` copies; None of a model that comes from no folder.
    """

    template: ChatTemplate | None = None
    original: Original | None = None
    ids: Tensor  # [V]
    missing: Tensor  # tokens of the vocabulary that are never generated
    before_source: Tensor
    before_target: Tensor

    def __init__(
        self,
        model: Any,
        vocabulary: Vocabulary,
        ids: Sequence[int | None],
        before_source: Sequence[int],
        before_target: Sequence[int],
        keeps_eos: bool = True,
    ) -> None:
        super().__init__()
        self.model, self.keeps_eos = model, keeps_eos
        self.vocabulary, self.vocabulary_size = vocabulary, len(vocabulary)
        self.feature_width = model.get_output_embeddings().weight.shape[1]
        self.has_encoder = bool(model.config.is_encoder_decoder)
        parameters = inspect.signature(model.forward).parameters
        self.has_positions = "position_ids" in parameters
        # transformers 5 or 4
        self.cache_name = "cache" if "cache" in parameters else "past_key_values"
        self.frozen = {name for name, weight in self.named_parameters() if not weight.requires_grad}
        buffers = {
            "ids": [ids[EOS] if model_id is None else model_id for model_id in ids],
            "missing": [i for i, model_id in enumerate(ids) if model_id is None or i in (PAD, BOS)],
            "before_source": before_source,
            "before_target": before_target,
        }
        for name, values in buffers.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64), persistent=False)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The weights of the model, tied ones once; with an adapter, those of the adapter alone."""
        state = super().state_dict(*args, **kwargs)
        if adapter := {name: value for name, value in state.items() if LORA_WEIGHT in name}:
            return adapter
        first = {name for name, _ in self.named_parameters()}
        tied = {name for name, _ in self.named_parameters(remove_duplicate=False)} - first
        return {name: value for name, value in state.items() if name not in tied}

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load what ``state_dict`` returned; what it leaves out stays as it is."""
        own = super().state_dict()
        others = {name: own[name] for name in own.keys() - self.state_dict().keys()}
        return super().load_state_dict({**others, **state_dict}, *args, **kwargs)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """As in ``nn.Module``, but sinusoids stay frozen, and with an adapter all other weights."""
        super().requires_grad_(requires_grad)
        names = [name for name, _ in self.named_parameters()]
        trained = {name for name in names if LORA_WEIGHT in name} or {*names} - self.frozen
        for name, weight in self.named_parameters():
            weight.requires_grad &= name in trained
        return self

    @property
    def checkpointing(self) -> bool:
        """Whether the backward pass computes the layers again, to save memory."""
        modules = self.model.modules()
        return any(getattr(module, "gradient_checkpointing", False) for module in modules)

    @checkpointing.setter
    def checkpointing(self, enabled: bool) -> None:
        model, verb = self.model, "enable" if enabled else "disable"
        if not model.supports_gradient_checkpointing:
            kind = model.config.model_type
            raise UserError(
                f"train.checkpointing: a {kind} model does not support it; leave it out"
            )
        old = getattr(model, f"gradient_checkpointing_{verb}")
        change = getattr(model, f"activation_checkpointing_{verb}", old)  # transformers 5 or 4
        try:
            change({"use_reentrant": False}) if enabled else change()
        except ValueError as error:  # the model does not support it
            raise UserError(f"train.checkpointing: {error}") from error

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits ``[B, T, V]``, or ``[N, V]`` where ``mask`` ``[B, T]`` is True."""
        return self.head(self.features(source, prefix, mask))

    def features(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Inputs of the output layer: ``[B, T, D]``, or ``[N, D]`` where ``mask`` is True."""
        state = self.start(source, prefix.shape[1])
        tokens = torch.cat([state.prompt, self.ids[prefix[:, 1:]]], 1)  # [B, P + T - 1]
        hidden, _ = self._run(self.model_inputs(tokens, state))  # [B, P + T - 1, D]
        skipped = state.prompt.shape[1] - 1
        if mask is None:
            return hidden[:, skipped:]
        return select_positions(hidden, F.pad(mask, (skipped, 0)))

    def head(self, features: Tensor) -> Tensor:
        """The model's logits of the vocabulary for ``features`` ``[…, D]`` → ``[…, V]``."""
        model, config = self.model, self.model.config
        logits = model.get_output_embeddings()(features)  # [..., model's vocabulary]
        if hasattr(model, "final_logits_bias"):  # BART and its relatives
            logits = logits + model.final_logits_bias
        if hasattr(model, "logit_scale"):  # Cohere
            logits = logits * model.logit_scale
        if hasattr(config, "logits_scaling"):  # Granite
            logits = logits / config.logits_scaling
        if cap := getattr(config, "final_logit_softcapping", None):  # Gemma
            logits = cap * torch.tanh(logits / cap)
        return self.vocabulary_logits(logits)

    def vocabulary_logits(self, model_logits: Tensor) -> Tensor:
        """The columns of the model's logits that belong to the vocabulary: ``[…, V]``."""
        logits = model_logits.index_select(-1, self.ids)
        return logits.index_fill_(-1, self.missing, LOG_ZERO)

    def start(self, source: Tensor, limit: int) -> HuggingFaceState:
        """Encode the source, or build the prompt; the cache grows with each step."""
        # the model may not have positions for all the padding
        source = source[:, : max(1, int((source != PAD).any(0).sum()))]
        before_source = self.before_source.expand(len(source), -1)
        before_target = self.before_target.expand(len(source), -1)
        tokens = torch.cat([before_source, self.ids[source]], 1)  # [B, S]
        hidden = source == PAD
        if not self.keeps_eos:
            hidden |= (source == EOS) & F.pad(hidden[:, 1:], (0, 1), value=True)  # the last token
        present = F.pad((~hidden).long(), (before_source.shape[1], 0), value=1)  # [B, S]
        if self.has_encoder:
            output = self.model.get_encoder()(input_ids=tokens, attention_mask=present)
            return HuggingFaceState(0, before_target, present, output.last_hidden_state, None)
        # left padding: the ALiBi of MPT measures distances between positions
        longest = max(1, int(present.sum(1).max()))
        left = present.argsort(dim=1, stable=True)[:, -longest:]  # no column of padding only
        prompt = torch.cat([tokens.gather(1, left), before_target], 1)  # [B, P]
        present = F.pad(present.gather(1, left), (0, before_target.shape[1]), value=1)  # [B, P]
        return HuggingFaceState(0, prompt, present, None, None)

    def step(self, token: Tensor, state: HuggingFaceState) -> tuple[Tensor, HuggingFaceState]:
        """One step for ``token`` ``[B]`` (BOS first) → ``[B, V]``; consumes ``state``."""
        if self.training and self.checkpointing:  # then the model would ignore its cache
            raise RuntimeError("a model with checkpointing generates in eval mode only")
        tokens = self.ids[token][:, None] if state.time else state.prompt
        hidden, cache = self._run(self.model_inputs(tokens, state) | {"use_cache": True})
        state = replace(state, time=state.time + tokens.shape[1], cache=cache)
        return self.head(hidden[:, -1]), state

    def model_inputs(self, tokens: Tensor, state: HuggingFaceState) -> dict[str, Any]:
        """The model's arguments for ``tokens`` ``[B, N]``, which follow those in the cache."""
        options: dict[str, Any] = {self.cache_name: state.cache, "use_cache": False}
        if self.has_encoder:
            memory = {"encoder_outputs": (state.encoded,), "attention_mask": state.present}
            return {"decoder_input_ids": tokens, **memory, **options}
        generated = state.time + tokens.shape[1] - state.present.shape[1]
        present = F.pad(state.present, (0, generated), value=1)
        if self.has_positions:
            options["position_ids"] = (present.cumsum(1) - 1).clamp(min=0)[:, state.time :]
        return {"input_ids": tokens, "attention_mask": present, **options}

    def _run(self, inputs: dict[str, Any]) -> tuple[Tensor, Any]:
        """Run the model up to its output layer → the layer's input ``[B, N, D]``, and the cache."""
        hidden: list[Tensor] = []

        def capture(layer: nn.Module, args: tuple[Tensor]) -> Tensor:
            hidden.append(args[0])
            return args[0][:, :0]  # the output layer computes nothing

        with self.model.get_output_embeddings().register_forward_pre_hook(capture):
            output = self.model(**inputs)
        return hidden[0], output[self.cache_name] if inputs["use_cache"] else None

    def fit(self, horizon: int) -> tuple[int, int]:
        """The longest source and output, of at most ``horizon`` tokens, that the model can take."""
        positions = getattr(self.model.config, "max_position_embeddings", None)
        if positions is None:
            return sys.maxsize, horizon
        source_limit = positions - len(self.before_source)
        room = positions - len(self.before_target) + 1
        if self.has_encoder:
            return source_limit, min(horizon, room)
        room -= len(self.before_source)  # shared by the source and the output
        horizon = min(horizon, room // 2)
        return room - horizon, horizon

    def check_limits(self, source_limit: int, horizon: int) -> None:
        """Raise UserError if source and target may need more positions than the model has."""
        sizes = len(self.before_source) + source_limit, len(self.before_target) + horizon - 1
        needed = max(sizes) if self.has_encoder else sum(sizes)
        positions = getattr(self.model.config, "max_position_embeddings", needed)
        if needed > positions:
            raise UserError(
                f"the model has {positions} positions but the task needs {needed}: "
                "lower env.source_limit or env.horizon"
            )


@dataclass(frozen=True, slots=True)
class HuggingFaceState:
    """Decoding state.

    Attributes:
        time: number of tokens in the cache.
        prompt: ``[B, P]``, the tokens of the first step.
        present: the attention mask of the encoder ``[B, S]``, or of the prompt ``[B, P]``.
        encoded: ``[B, S, D]``; None without an encoder.
        cache: the model's own; None before the first step.
    """

    time: int
    prompt: Tensor
    present: Tensor
    encoded: Tensor | None
    cache: Any

    def select(self, index: Tensor) -> HuggingFaceState:
        """Rows ``index``; reorders the cache in place, so this state must not be used again."""
        if torch.equal(index, torch.arange(len(self.prompt), device=index.device)):
            return self
        if self.cache is not None:
            self.cache.reorder_cache(index)
        encoded = None if self.encoded is None else self.encoded[index]
        prompt, present = self.prompt[index], self.present[index]
        return replace(self, prompt=prompt, present=present, encoded=encoded)
