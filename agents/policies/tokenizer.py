"""Opens the tokenizers of Hugging Face models, by folder or by name on the Hub."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from agents.policies.model_files import base_folder, read_companions
from agents.policies.sanitized_folder import OFFLINE, opened_model
from textgen_env.data.chat_template import PLAIN, ChatTemplate, end_of_turn
from textgen_env.data.pretrained_tokenizer import convert_tokenizer, special_names, special_tokens
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.types import EOS, UNK

CHAT_TEMPLATE, CONFIG = "chat_template.jinja", "tokenizer_config.json"


class PretrainedTokenizer(NamedTuple):
    """The tokenizer of a pretrained model.

    Attributes:
        vocabulary: its tokens, under this project's ids.
        ids: the tokenizer's id of each token of the vocabulary, or None.
        tokenizer: the tokenizer itself.
        prepended: ids that it puts before every text.
        appended: ids that it puts after every text.
        template: its chat template, if it is to encode conversations.
        class_name: of its class in transformers.
    """

    vocabulary: Vocabulary
    ids: list[int | None]
    tokenizer: Tokenizer
    prepended: list[int]
    appended: list[int]
    template: ChatTemplate | None = None
    class_name: str = ""

    def aligned_with(self, vocabulary: Vocabulary) -> PretrainedTokenizer:
        """The same tokenizer over ``vocabulary``, if the two differ only in which token is EOS.

        A base model and a chat model with one tokenizer differ like this. Each keeps its own EOS.
        """
        own, other = (v.tokens[UNK + 1 :] for v in (self.vocabulary, vocabulary))
        end = self.tokenizer.id_to_token(self.ids[EOS])
        ends = set(own) - set(other)  # what the other vocabulary calls EOS
        if len(ends) != 1 or [t for t in own if t not in ends] != [t for t in other if t != end]:
            return self
        ids = dict(zip(self.vocabulary.tokens, self.ids, strict=True))
        others = [None if token == end else ids[token] for token in other]
        return self._replace(vocabulary=vocabulary, ids=[*self.ids[: UNK + 1], *others])

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``; special tokens spelled out in the text are recognized."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids


def load_tokenizer(name: str, template: ChatTemplate | None = None) -> PretrainedTokenizer:
    """Load the tokenizer of a model.

    Args:
        name: A folder, or the name of a model on the Hub.
        template: For conversations: the template to use, or ``ChatTemplate()`` for its own. EOS is
            then the token that ends a turn.

    Raises:
        UserError: It cannot be loaded or used, or has no chat template.
    """
    name = base_folder(name)
    with opened_model(name) as (transformers, folder):
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **OFFLINE)
        except Exception as error:  # of any type
            advice = "save the tokenizer with save_pretrained"
            raise UserError(f"its tokenizer cannot be loaded ({error}); {advice}") from error
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
        spec, end = backend.to_str(), tokenizer.eos_token
        if template is not None:
            template = _chat_template(name, template, tokenizer)
            end = end_of_turn(template, special_tokens(spec) | {end}) or end
            template = replace(template, names=special_names(spec, end))
        vocabulary, ids = convert_tokenizer(spec, end)
        around, class_name = (prepended, appended), type(tokenizer).__name__
        return PretrainedTokenizer(vocabulary, ids, backend, *around, template, class_name)


def _chat_template(name: str, template: ChatTemplate, tokenizer: Any) -> ChatTemplate:
    """The given template, or else that of the tokenizer, with the tokenizer's variables."""
    text = _own_template(name) if template.text == PLAIN else template.text
    if text is None:
        raise UserError(
            "its tokenizer has no chat template, as usual of a base model; give one with "
            "env.template=FILE"
        )
    names = sorted(tokenizer.special_tokens_map.items())
    return ChatTemplate(text, tuple((key, token) for key, token in names if type(token) is str))


def _own_template(name: str) -> str | None:
    """The chat template of an opened model, a Jinja program, as text; None if it has none.

    transformers gets to see neither its file nor its key, and nothing compiles it here:
    ``ChatTemplate.render`` does, in a sandbox in a process of its own.
    """
    files = read_companions(name, frozenset({CHAT_TEMPLATE, CONFIG}))
    if CHAT_TEMPLATE in files:
        return files[CHAT_TEMPLATE].decode()
    template = json.loads(files.get(CONFIG, b"{}")).get("chat_template")
    if isinstance(template, list):  # several, by name
        template = next((t["template"] for t in template if t["name"] == "default"), None)
    if not isinstance(template, str | None):
        raise UserError(f"{CONFIG}: chat_template is no text; download it again")
    return template
