"""Teachers from elsewhere: ``hf:FOLDER_OR_NAME`` → a policy.

Such a folder is data: none of its code runs, and only safetensors are read (agents/policies/untrusted.py).
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
from agents.policies.untrusted import clean_view
from textgen_env.data.pretrained_tokenizer import convert_tokenizer
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.types import BOS, EOS, LOG_ZERO, PAD

LOCAL: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}


class Tokens(NamedTuple):
    """A model's tokenizer.

    ids: its id of each token of the vocabulary, None where it has none.  before, after: ids that it puts around every text.
    """

    vocabulary: Vocabulary
    ids: list[int | None]
    tokenizer: Tokenizer
    before: list[int]
    after: list[int]

    def encode(self, text: str) -> list[int]:
        """The model's ids of ``text``, in which special tokens may be spelled out."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids


def load_tokens(name: str) -> Tokens:
    """The tokenizer of the model in folder ``name``, or of that name on the hub.

    Raises:
        UserError: It cannot be loaded or used.
    """
    with _opened(name) as (transformers, view):
        tokenizer = transformers.AutoTokenizer.from_pretrained(view, **LOCAL)
        if not tokenizer.is_fast:
            kind = type(tokenizer).__name__
            raise UserError(
                f"it has only a slow tokenizer ({kind}); a fast one, a tokenizer.json, is needed"
            )
        if tokenizer.eos_token is None:
            raise UserError("its tokenizer names no eos_token, with which a sequence could end")
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        probe = backend.encode("a")
        text = [i for i, special in enumerate(probe.special_tokens_mask) if not special]
        vocabulary, ids = convert_tokenizer(backend.to_str(), tokenizer.eos_token)
        return Tokens(vocabulary, ids, backend, probe.ids[: text[0]], probe.ids[text[-1] + 1 :])


def load(name: str, source_prefix: str = "", separator: str = "") -> HuggingFacePolicy:
    """The model in folder ``name``, or of that name on the hub, in float32.

    Args:
        name: The folder or name.
        source_prefix: Text before every source, tokenized by itself.
        separator: Decoder-only: text between source and target, tokenized by itself; empty: EOS.

    Raises:
        UserError: The model cannot be loaded, or is no policy over the vocabulary of its tokenizer.
    """
    tokens = load_tokens(name)
    with _opened(name) as (transformers, view):
        config = transformers.AutoConfig.from_pretrained(view, **LOCAL)
        kind = (
            transformers.AutoModelForSeq2SeqLM
            if config.is_encoder_decoder
            else transformers.AutoModelForCausalLM
        )
        options = {
            "use_safetensors": True,
            "dtype": torch.float32,
            "output_loading_info": True,
            **LOCAL,
        }
        model, report = kind.from_pretrained(view, config=config, **options)
        if report["missing_keys"]:
            raise UserError(
                f"its weights are not those of a {type(model).__name__}: {min(report['missing_keys'])} is missing"
            )
        if config.is_encoder_decoder and separator:
            raise UserError("teacher.separator is for models without an encoder; leave it out")
        _check_vocabulary(model, tokens)
        opening = tokens.before + tokens.encode(source_prefix)
        closing = (
            _decoder_start(model, tokens.before)
            if config.is_encoder_decoder
            else tokens.encode(separator)
        )
        policy = HuggingFacePolicy(
            model, tokens.vocabulary, tokens.ids, opening, closing, keeps_eos=not separator
        ).eval()
        _check_identities(policy)
    return policy


@contextmanager
def _opened(name: str) -> Iterator[tuple[ModuleType, Path]]:
    """The transformers package, and a folder with what may be read of the model; any error is one line with its name."""
    try:
        import transformers
    except ImportError:
        raise UserError(
            "teacher.path=hf:… needs the transformers package: pip install -e '.[hf]'"
        ) from None
    try:
        with clean_view(name, transformers) as view:
            yield transformers, view
    except Exception as error:  # whatever the packages raise means the same to the user
        raise UserError(f"teacher.path=hf:{name}: {' '.join(str(error).split())[:300]}") from error


def _decoder_start(model: Any, before: list[int]) -> list[int]:
    """The ids that the decoder is given before the first token of a text; models are trained with ``before`` in front of it."""
    start, first = (
        model.generation_config.decoder_start_token_id,
        model.generation_config.forced_bos_token_id,
    )
    if start is None:
        raise UserError("its config names no decoder_start_token_id")
    if first is not None:
        return [start, first]
    return before if before[:1] == [start] else [start, *before]


def _check_vocabulary(model: Any, tokens: Tokens) -> None:
    size, highest = (
        model.get_output_embeddings().weight.shape[0],
        max(theirs for theirs in tokens.ids if theirs is not None),
    )
    if highest >= size:
        raise UserError(
            f"its tokenizer has ids up to {highest:,}, the model only {size:,} tokens: they do not belong together"
        )
    eos, ends = tokens.ids[EOS], model.generation_config.eos_token_id
    if ends is not None and eos not in (ends if isinstance(ends, list) else [ends]):
        raise UserError(
            f"the model ends a sequence with id {ends}, its tokenizer with {eos}: they do not belong together"
        )
    if model.config.is_encoder_decoder and tokens.after not in ([], [eos]):
        raise UserError("its tokenizer ends a source with more than EOS, and no source here does")


@torch.no_grad()
def _check_identities(policy: HuggingFacePolicy) -> None:
    """UserError unless the model is causal, masks padding, has a cache, and computes the logits that ``head`` does.

    Two short rows show it.
    """
    word = policy.vocabulary_size - 1
    source = torch.tensor([[word, word, word, EOS], [word, EOS, PAD, PAD]])
    prefix = torch.tensor([[BOS, word, EOS], [BOS, EOS, word]])
    kind = policy.model.config.model_type
    try:
        whole, alone = policy(source, prefix)[1, :2], policy(source[1:, :2], prefix[1:, :2])[0]
        state = policy.start(source, 2)
        own = policy.ours(policy.model(**policy.inputs(state.prompt, state)).logits[1, -1])
        _, state = policy.step(prefix[:, 0], state)
        cached, _ = policy.step(prefix[1:, 1], state.select(torch.tensor([1])))
    except Exception as error:
        raise UserError(f"a {kind} model cannot be a teacher ({error})") from error
    tolerance = 1e-3 * max(1.0, whole[whole > LOG_ZERO].abs().max().item())
    gaps = torch.stack(
        [(alone[0] - whole[0]), alone[1] - whole[1], own - whole[0], cached[0] - whole[1]]
    ).abs()
    if not gaps.max() < tolerance:
        raise UserError(
            f"a {kind} model cannot be a teacher: it sees later tokens, or padding, or its cache or output differs"
        )
