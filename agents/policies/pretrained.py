"""Pretrained Hugging Face teachers: ``hf:FOLDER_OR_NAME`` → a policy.

Model folders are untrusted: none of their code runs, and only safetensors weights are loaded
(agents/policies/untrusted.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer

from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.untrusted import sanitized_folder
from textgen_env.data.pretrained_tokenizer import convert_tokenizer
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.types import BOS, EOS, LOG_ZERO, PAD

OFFLINE: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}


class PretrainedTokenizer(NamedTuple):
    """The tokenizer of a pretrained model.

    Attributes:
        vocabulary: its tokens, under this project's ids.
        ids: the tokenizer's id of each token of the vocabulary, or None.
        tokenizer: the tokenizer itself.
        prepended: ids that it puts before every text.
        appended: ids that it puts after every text.
    """

    vocabulary: Vocabulary
    ids: list[int | None]
    tokenizer: Tokenizer
    prepended: list[int]
    appended: list[int]

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``; special tokens spelled out in the text are recognized."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids


def load_tokenizer(name: str) -> PretrainedTokenizer:
    """Load the tokenizer of a model.

    Args:
        name: A folder, or the name of a model on the Hub.

    Raises:
        UserError: It cannot be loaded or used.
    """
    with _opened(name) as (transformers, folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **OFFLINE)
        if not tokenizer.is_fast:
            raise UserError(
                f"it has only a slow tokenizer ({type(tokenizer).__name__}); "
                "a fast one is needed, with a tokenizer.json"
            )
        if tokenizer.eos_token is None:
            raise UserError("its tokenizer has no eos_token, which is needed to end a sequence")
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        sample = backend.encode("a")
        text = [i for i, special in enumerate(sample.special_tokens_mask) if not special]
        prepended, appended = sample.ids[: text[0]], sample.ids[text[-1] + 1 :]
        vocabulary, ids = convert_tokenizer(backend.to_str(), tokenizer.eos_token)
        return PretrainedTokenizer(vocabulary, ids, backend, prepended, appended)


def load_pretrained(name: str, source_prefix: str = "", separator: str = "") -> HuggingFacePolicy:
    """Load a model in float32 as a policy.

    Args:
        name: A folder, or the name of a model on the Hub.
        source_prefix: Text prepended to every source, tokenized separately.
        separator: Decoder-only models: text between source and target, tokenized separately;
            EOS if empty.

    Raises:
        UserError: The model cannot be loaded, does not match its tokenizer, or is not causal.
    """
    tokenizer = load_tokenizer(name)
    with _opened(name) as (transformers, folder):
        config = transformers.AutoConfig.from_pretrained(folder, **OFFLINE)
        has_encoder = config.is_encoder_decoder
        auto_class = (
            transformers.AutoModelForSeq2SeqLM if has_encoder else transformers.AutoModelForCausalLM
        )
        options = {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
        model, info = auto_class.from_pretrained(folder, config=config, **options, **OFFLINE)
        if missing := info["missing_keys"]:
            raise UserError(f"its weights lack {min(missing)} of {type(model).__name__}")
        if has_encoder and separator:
            raise UserError("teacher.separator is only for decoder-only models; leave it out")
        _check_tokenizer(model, tokenizer)
        before_source = tokenizer.prepended + tokenizer.encode(source_prefix)
        before_target = (
            _decoder_start(model, tokenizer.prepended)
            if has_encoder
            else tokenizer.encode(separator)
        )
        vocabulary, ids, *_ = tokenizer
        policy = HuggingFacePolicy(
            model, vocabulary, ids, before_source, before_target, keeps_eos=not separator
        )
        _check_identities(policy.eval())
    return policy


@contextmanager
def _opened(name: str) -> Iterator[tuple[ModuleType, Path]]:
    """Yield transformers and a sanitized model folder; any error becomes a one-line UserError."""
    try:
        import transformers
    except ImportError:
        raise UserError(
            "an hf: model needs the transformers package: pip install -e '.[hf]'"
        ) from None
    try:
        with sanitized_folder(name, transformers) as folder:
            yield transformers, folder
    except Exception as error:  # the packages raise errors of any type
        raise UserError(f"hf:{name}: {' '.join(str(error).split())[:300]}") from error


def _decoder_start(model: Any, prepended: list[int]) -> list[int]:
    """The decoder's input before the first token; models are trained with ``prepended`` in it."""
    generation = model.generation_config
    start, forced = generation.decoder_start_token_id, generation.forced_bos_token_id
    if start is None:
        raise UserError("its config has no decoder_start_token_id")
    if forced is not None:
        return [start, forced]
    return prepended if prepended[:1] == [start] else [start, *prepended]


def _check_tokenizer(model: Any, tokenizer: PretrainedTokenizer) -> None:
    size = model.get_output_embeddings().weight.shape[0]
    highest = max(model_id for model_id in tokenizer.ids if model_id is not None)
    if highest >= size:
        raise UserError(
            f"tokenizer and model do not match: the tokenizer has ids up to {highest:,}, "
            f"the model only {size:,} tokens"
        )
    eos, model_eos = tokenizer.ids[EOS], model.generation_config.eos_token_id
    if model_eos is not None and eos not in (
        model_eos if isinstance(model_eos, list) else [model_eos]
    ):
        raise UserError(
            f"tokenizer and model do not match: EOS is {eos} in the tokenizer, "
            f"{model_eos} in the model"
        )
    if model.config.is_encoder_decoder and tokenizer.appended not in ([], [eos]):
        raise UserError("its tokenizer appends tokens other than EOS, which is not supported")


@torch.no_grad()
def _check_identities(policy: HuggingFacePolicy) -> None:
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
        raise UserError(f"a {kind} model cannot be a teacher ({error})") from error
    tolerance = 1e-3 * max(1.0, batched[batched > LOG_ZERO].abs().max().item())
    pairs = [(single, batched), (direct, batched[0]), (cached[0], batched[1])]
    if not all(bool((a - b).abs().max() < tolerance) for a, b in pairs):
        raise UserError(
            f"a {kind} model cannot be a teacher: it is not causal, attends to padding, "
            "or its cache or output layer is inconsistent"
        )
