"""What translation tasks share: where parallel text comes from, and the World it becomes."""

from __future__ import annotations

from textgen_env.corpus import Corpus
from textgen_env.errors import UserError
from textgen_env.hub import HubSet
from textgen_env.readers import read_folder
from textgen_env.sources import Rows, bundled_corpus, find_corpus
from textgen_env.vocabulary import subwords
from textgen_env.world import World, build


def find_parallel(
    kind: str,
    data_dir: str | None,
    source: str,
    target: str,
    hub: HubSet | None,
    unescape: bool,
    bundled_pairs: int,
    seed: int,
) -> Corpus:
    """Text to translate from ``source`` to ``target``, of the ``kind`` asked for (see ``find_corpus``).

    unescape: undo Moses escapes in a local folder.  bundled_pairs, seed: how much the grammar writes, German–English in
    either direction.
    """

    def write(*amounts: int) -> Rows:
        if {source, target} != {"de", "en"}:
            raise UserError(f"the bundled corpus is German–English (de, en), not {source}–{target}; use env.data_dir=FOLDER")
        from textgen_env.bundled import generate  # only here: its grammar takes memory that a run on real text does not need

        turn = 1 if source == "de" else -1
        pairs = {split: [row[::turn] for row in rows] for split, rows in generate(*amounts).items()}
        return {split: [(left, (right,)) for left, right in rows] for split, rows in pairs.items()}

    return find_corpus(
        kind,
        data_dir,
        lambda folder: read_folder(folder, source, target, unescape),
        lambda: bundled_corpus(write, bundled_pairs, seed),
        hub,
    )


def translation(id: str, text: Corpus, vocabulary: int, lowercase: bool, source_limit: int, horizon: int) -> World:
    """The task ``id`` over ``text``: a joint vocabulary, pairs beyond a limit skipped in training, judged by BLEU."""
    text = text.mapped(str.lower) if lowercase else text
    return build(id, text, subwords(text, vocabulary), source_limit=source_limit, horizon=horizon, metric="bleu", reward="bleu")
