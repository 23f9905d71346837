"""The corpora that the project writes itself: German and English sentence pairs from a seeded synchronous grammar, and
documents with their summaries.

Every rule builds both sides together.  Each file imports only from those before it:

- inflection: ``german``, ``conjugation`` (German verbs), ``english``
- words: ``nouns``, ``verbs``, ``modifiers`` are the tables, ``lexicon`` reads them into ``records``
- phrases: ``phrases``, ``determiners``, ``nominals``, ``adverbials``
- clauses: ``predicates`` (verb groups), ``clauses`` (word order), ``assembly`` (who does what), ``choices``, ``events``
- sentences: ``descriptions``, ``statements``, ``sentences``
- documents: ``stories`` reads the tables ``news`` and ``dialogues``, ``summaries`` draws from them
"""

from __future__ import annotations

from random import Random

from textgen_env.bundled.phrases import Pen
from textgen_env.bundled.sentences import sentence

LONGEST = 60  # tokens on either side


def generate(seed: int = 0, train: int = 30_000, valid: int = 1_000, test: int = 1_000) -> dict[str, list[tuple[str, str]]]:
    """``{"train": [(german, english), …], "valid": …, "test": …}``: lower case, tokens separated by spaces.

    Deterministic in the arguments.  No German sentence occurs twice, within a split or across them.
    """
    pen, seen = Pen(Random(seed)), set()
    pairs: list[tuple[str, str]] = []
    while len(pairs) < train + valid + test:
        german, english = sentence(pen)
        if german not in seen and max(german.count(" "), english.count(" ")) < LONGEST:
            seen.add(german)
            pairs.append((german, english))
    return {"test": pairs[:test], "valid": pairs[test : test + valid], "train": pairs[test + valid :]}
