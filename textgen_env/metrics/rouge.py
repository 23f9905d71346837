"""ROUGE of one sentence by rouge-score, with tokens of every script.

Tokens: the text in lower case, split wherever there is no letter, mark or number; in scripts
written without spaces (``textgen_env.metrics.scripts``) each character is a token of its own. Tokens of a-z
and 0-9 get rouge-score's English stems, all others stay. So ASCII text scores as in rouge-score.

Sentences, for ROUGE-Lsum: the lines of the text, as in rouge-score. A text of one line is split after
``.``, ``!`` or ``?`` (with closing quotes or brackets) before a space, and after ``。``, ``！`` or ``？``.

A text without any token, such as ``!!!``, scores 100 where a reference is the same, else 0.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from textgen_env.metrics.scripts import script

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

VALUES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_END = re.compile(r"""(?<=[.!?])(["'”’)\]]*)\s+|(?<=[。！？])(["'”’」』）]*)\s*""")


def rouge_sentence(hypothesis: str, references: Sequence[str]) -> dict[str, float]:
    """F1 of every value in percent; of several references the best one counts, for each value by itself."""
    if not any(map(str.isalnum, hypothesis)):
        same = bool(hypothesis.split()) and any(
            hypothesis.split() == text.split() for text in references
        )
        return dict.fromkeys(VALUES, 100.0 * same)
    best = _scorer().score_multi([sentences(text) for text in references], sentences(hypothesis))
    return {name: 100.0 * best[name].fmeasure for name in VALUES}


def rouge_choices() -> str:
    """The choices behind the values, for the signature."""
    return f"stem:english|tok:unicode|lsum:lines-or-marks|f1:best-reference|rouge-score:{version('rouge-score')}"


def sentences(text: str) -> str:
    """``text`` with one sentence a line."""
    return text if "\n" in text.strip() else _END.sub(r"\1\2\n", text)


class _Spaced(dict):
    """For ``str.translate``: a space for what separates tokens, nothing for invisible joiners."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        kind = unicodedata.category(letter)
        if kind[0] in "LMN":
            self[code] = f" {letter} " if script(letter) else letter
        else:
            self[code] = "" if kind == "Cf" else " "
        return self[code]


class Tokens:
    """A tokenizer for rouge-score; see the module's text."""

    def __init__(self) -> None:
        from nltk.stem.porter import (
            PorterStemmer,
        )  # takes seconds to import, and only ROUGE needs it

        self._stem = lru_cache(maxsize=100_000)(PorterStemmer().stem)
        self._spaced = _Spaced()

    def tokenize(self, text: str) -> list[str]:
        words = text.lower().translate(self._spaced).split()
        return [self._stem(word) if len(word) > 3 and word.isascii() else word for word in words]


@cache
def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(VALUES), tokenizer=Tokens())
