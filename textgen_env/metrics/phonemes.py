"""Phoneme errors, as grapheme-to-phoneme conversion counts them."""

from __future__ import annotations

from collections.abc import Sequence


def phoneme_errors(hypothesis: str, references: Sequence[str]) -> tuple[int, int]:
    """Count phoneme errors against the closest reference.

    Returns:
        Edit distance to the reference with the lowest error rate, and the length of that reference,
        in phonemes.
    """
    from nltk import edit_distance  # a slow import that only phonemes need

    phonemes = hypothesis.split()
    targets = [reference.split() for reference in references]
    counts = [(edit_distance(phonemes, target), max(len(target), 1)) for target in targets]
    return min(counts, key=lambda count: count[0] / count[1])
