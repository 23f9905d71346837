"""How a model treats raw text: the preprocessing of its corpus and the limits on lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from textgen_env.data.chat import Conversation
from textgen_env.data.chat_template import ChatTemplate
from textgen_env.data.chat_tokens import ChatEncoder
from textgen_env.data.corpus import Preprocessing
from textgen_env.data.limit import MAX_LENGTH, Limit
from textgen_env.data.text import unescape_text
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import Range, check_range
from textgen_env.tasks.task import Task
from textgen_env.tasks.wmt16 import split_punctuation
from textgen_env.types import EOS


class Sources(NamedTuple):
    """Tokens of sources, and what was left out, by row."""

    rows: list[np.ndarray]
    notes: dict[int, str]


class TextSettings(NamedTuple):
    """How raw text is turned into a source, and how long the output may be.

    Args:
        preprocessing: steps applied to the text before tokenization.
        source_limit: maximum source length in tokens, EOS included; longer sources are truncated.
        limit: maximum output length for a source.
        template: how a conversation becomes tokens; None: a text is no conversation.
    """

    preprocessing: Preprocessing
    source_limit: int
    limit: Limit
    template: ChatTemplate | None = None

    @classmethod
    def from_task(cls, task: Task) -> TextSettings:
        """The settings of ``task``."""
        return cls(task.corpus.preprocessing, task.source_limit, task.limit, task.template)

    def encode(self, texts: Sequence[str], vocabulary: Vocabulary) -> Sources:
        """Raw texts, or conversations, as tokens with EOS within the source limit."""
        limit, rows = self.source_limit, []
        notes: dict[int, str] = {}
        if self.template:
            conversations = [Conversation.from_text(text).messages for text in texts]
            ids, shortened = ChatEncoder(self.template, vocabulary, limit).prompts(conversations)
            notes = dict.fromkeys(shortened, "its oldest turns are left out")
        else:
            encoded = vocabulary.encode_many([*map(self.normalize, texts)])
            ids = [[*tokens, EOS] for tokens in encoded]
        for i, tokens in enumerate(ids):
            if len(tokens) > limit and self.template:  # the question is at the end
                tokens, notes[i] = tokens[-limit:], f"cut to its last {limit:,} tokens"
            elif len(tokens) > limit:
                notes[i] = f"truncated from {len(tokens):,} to {limit:,} tokens"
                tokens = [*tokens[: limit - 1], EOS]
            rows.append(np.array(tokens, dtype=np.int64))
        return Sources(rows, notes)

    def normalize(self, text: str) -> str:
        """Preprocess ``text`` as the corpus was preprocessed."""
        if self.preprocessing.unescape:
            text = unescape_text(text)
        text = " ".join(text.split())
        if self.preprocessing.split_marks:
            text = split_punctuation(text)
        return text.lower() if self.preprocessing.lowercase else text

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON-serializable dictionary."""
        return {
            "preprocessing": asdict(self.preprocessing),
            "source_limit": self.source_limit,
            "limit": asdict(self.limit),
            **({"template": self.template.to_json()} if self.template else {}),
        }

    @classmethod
    def from_json(cls, values: Any) -> TextSettings:
        """Inverse of ``to_json``; raises TypeError, KeyError or ValueError for malformed values."""
        flags, source_limit = values["preprocessing"], values["source_limit"]
        if type(source_limit) is not int or not all(type(flag) is bool for flag in flags.values()):
            raise TypeError("a value has the wrong type")
        check_range("source_limit", source_limit, Range(2, MAX_LENGTH))
        template = values.get("template")
        return cls(
            Preprocessing(**flags),
            source_limit,
            Limit(**values["limit"]),
            template and ChatTemplate.from_json(template),
        )
