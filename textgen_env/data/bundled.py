"""The bundled corpora: synthetic text that ships with the package, so every task runs offline."""

from __future__ import annotations

import lzma
from pathlib import Path

from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.errors import UserError

ASSETS = Path(__file__).parent / "assets"
NAMES = ("translation", "news", "dialogues")
NOTE = "BUNDLED CORPUS: synthetic text; compare its scores only with each other"


def read_bundled(name: str, pairs: int) -> Corpus:
    """Read the first ``pairs`` training pairs of a bundled corpus.

    The validation and test splits have a tenth as many pairs each, at most 1,000.
    ``assets/README.md`` describes the corpora and how they were generated.

    Args:
        name: ``translation`` (German to English), ``news`` or ``dialogues`` (three summaries each).
        pairs: Number of training pairs, at least 1.

    Raises:
        UserError: The corpus has fewer training pairs.
    """
    held_out = max(1, min(1_000, pairs // 10))
    sizes = {"test": held_out, "valid": held_out, "train": pairs}
    splits = {split: Pairs([], []) for split in sizes}
    with lzma.open(ASSETS / f"{name}.tsv.xz", "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            split, source, *references = line.rstrip("\n").split("\t")
            if len(splits[split]) < sizes[split]:
                splits[split].append(source, references)
            elif split == "train":  # the last split of the file
                break
    if len(splits["train"]) < pairs:
        raise UserError(
            f"env.bundled_pairs={pairs}: the bundled {name} corpus has {len(splits['train']):,} "
            "training pairs; choose at most that many"
        )
    return Corpus("bundled", "bundled", f"{name}.tsv.xz, part of this package", splits, (NOTE,))
