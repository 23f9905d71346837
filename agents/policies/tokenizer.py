"""Opens Hugging Face models and their tokenizers, by folder or by name on the Hub.

Model folders are untrusted: none of their code runs, and only safetensors weights are loaded
(agents/policies/untrusted.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from agents.policies.untrusted import sanitized_folder
from textgen_env.data.pretrained_tokenizer import convert_tokenizer
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError

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
    with opened_model(name) as (transformers, folder):
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


@contextmanager
def opened_model(name: str, weights: bool = False) -> Iterator[tuple[ModuleType, Path]]:
    """Yield transformers and a sanitized model folder; any error becomes a one-line UserError."""
    try:
        import transformers
    except ImportError:
        raise UserError(
            "an hf: model needs the transformers package: pip install -e '.[hf]'"
        ) from None
    try:
        with sanitized_folder(name, transformers, weights) as folder:
            yield transformers, folder
    except Exception as error:  # the packages raise errors of any type
        raise UserError(f"hf:{name}: {' '.join(str(error).split())[:300]}") from error
