"""Errors of a pronunciation, as grapheme-to-phoneme conversion counts them."""

from __future__ import annotations

from collections.abc import Sequence

from nltk import edit_distance


def phoneme_errors(hypothesis: str, references: Sequence[str]) -> tuple[int, int]:
    """Edit distance to the closest reference, and that reference's length, both in phonemes.

    The closest reference has the fewest errors for its length; the first of equals counts.
    """
    phonemes = hypothesis.split()
    known = [reference.split() for reference in references]
    counts = [(edit_distance(phonemes, each), max(len(each), 1)) for each in known]
    return min(counts, key=lambda count: count[0] / count[1])
