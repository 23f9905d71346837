"""How a model treats raw text: the preprocessing of its corpus and the limits on lengths."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

from textgen_env.data.corpus import Preprocessing
from textgen_env.data.limit import MAX_LENGTH, Limit
from textgen_env.data.text import unescape_text
from textgen_env.errors import Range, check_range
from textgen_env.tasks.task import Task
from textgen_env.tasks.wmt16 import split_punctuation


class TextSettings(NamedTuple):
    """How raw text is turned into a source, and how long the output may be.

    Args:
        preprocessing: steps applied to the text before tokenization.
        source_limit: maximum source length in tokens, EOS included; longer sources are truncated.
        limit: maximum output length for a source.
    """

    preprocessing: Preprocessing
    source_limit: int
    limit: Limit

    @classmethod
    def from_task(cls, task: Task) -> TextSettings:
        """The settings of ``task``."""
        return cls(task.corpus.preprocessing, task.source_limit, task.limit)

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
        }

    @classmethod
    def from_json(cls, values: Any) -> TextSettings:
        """Inverse of ``to_json``; raises TypeError, KeyError or ValueError for malformed values."""
        flags, source_limit = values["preprocessing"], values["source_limit"]
        if type(source_limit) is not int or not all(type(flag) is bool for flag in flags.values()):
            raise TypeError("a value has the wrong type")
        check_range("source_limit", source_limit, Range(2, MAX_LENGTH))
        return cls(Preprocessing(**flags), source_limit, Limit(**values["limit"]))
