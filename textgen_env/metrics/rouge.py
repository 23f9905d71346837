"""ROUGE of one sentence with rouge-score, for text in any script.

Tokenization: text is lowercased and split at every character that is not a letter, mark or number.
In scripts without spaces between words (``textgen_env.metrics.scripts``), each character is a
token. Tokens of a-z and 0-9 are stemmed as English, so ASCII text has the scores of rouge-score.

Sentences, for ROUGE-Lsum: the lines of the text, as in rouge-score. Text of one line is split after
``.``, ``!`` or ``?`` (with closing quotes or brackets) before a space, and after ``。``, ``！`` or
``？``.

Text without tokens, such as ``!!!``, scores 100 if a reference is equal, else 0.
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
    """Compute every F1 in percent, each for its best reference."""
    if not any(map(str.isalnum, hypothesis)):
        same = bool(hypothesis.split()) and any(
            hypothesis.split() == text.split() for text in references
        )
        return dict.fromkeys(VALUES, 100.0 * same)
    targets = [split_sentences(text) for text in references]
    best = _scorer().score_multi(targets, split_sentences(hypothesis))
    return {name: 100.0 * best[name].fmeasure for name in VALUES}


def rouge_signature() -> str:
    """Return the settings behind the values, for the signature."""
    settings = "stem:english|tok:unicode|lsum:lines-or-marks|f1:best-reference"
    return f"{settings}|rouge-score:{version('rouge-score')}"


def split_sentences(text: str) -> str:
    """Put each sentence of ``text`` on its own line."""
    return text if "\n" in text.strip() else _END.sub(r"\1\2\n", text)


class _Separators(dict[int, str]):
    """Table for ``str.translate``: separators become spaces, invisible joiners are deleted."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        kind = unicodedata.category(letter)
        if kind[0] in "LMN":
            self[code] = f" {letter} " if script(letter) else letter
        else:
            self[code] = "" if kind == "Cf" else " "
        return self[code]


class RougeTokenizer:
    """A tokenizer for rouge-score; see the module's docstring."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer  # a slow import that only ROUGE needs

        self._stem = lru_cache(maxsize=100_000)(PorterStemmer().stem)
        self._separators = _Separators()

    def tokenize(self, text: str) -> list[str]:
        """Split ``text`` into lowercase tokens and stem the ASCII ones of more than 3 letters."""
        words = text.lower().translate(self._separators).split()
        return [self._stem(word) if len(word) > 3 and word.isascii() else word for word in words]


@cache
def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(VALUES), tokenizer=RougeTokenizer())
