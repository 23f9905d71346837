"""The bundled corpora match their data card, and tasks use their first pairs."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from textgen_env.data.bundled import ASSETS, NAMES, read_bundled
from textgen_env.data.corpus import Corpus
from textgen_env.errors import UserError
from textgen_env.metrics.scores import corpus_score

SIZES = {"translation": 30_000, "news": 10_000, "dialogues": 10_000}


@pytest.fixture(scope="module", params=NAMES)
def corpus(request: pytest.FixtureRequest) -> Corpus:
    return read_bundled(request.param, SIZES[request.param])


def name_of(corpus: Corpus) -> str:
    return corpus.origin.partition(".")[0]


def test_data_card_has_sizes_and_fingerprint(corpus: Corpus) -> None:
    card = (ASSETS / "README.md").read_text(encoding="utf-8")
    prefix = f"| `{name_of(corpus)}.tsv.xz`"
    row = next(line for line in card.splitlines() if line.startswith(prefix))
    sizes = " / ".join(f"{corpus.sizes[split]:,}" for split in ("test", "valid", "train"))
    assert re.findall(r"[\d,]+ / [\d,]+ / [\d,]+", row) == [sizes]
    assert f"`{corpus.fingerprint}`" in row


def test_assets_have_at_most_4_mb() -> None:
    assert {path.stem for path in ASSETS.glob("*.xz")} == {f"{name}.tsv" for name in NAMES}
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < 4_000_000


def test_sources_are_distinct(corpus: Corpus) -> None:
    sources = [text for pairs in corpus.splits.values() for text in pairs.sources]
    assert len(set(sources)) == len(sources) == sum(corpus.sizes.values())
    assert corpus.repeated == {}


def test_text_is_normalized(corpus: Corpus) -> None:
    for pairs in corpus.splits.values():
        for text in chain(pairs.sources, *pairs.references):
            assert text == " ".join(text.split()) == text.lower() != ""
            assert text.count('"') % 2 == 0


def test_all_pairs_have_the_same_number_of_references(corpus: Corpus) -> None:
    counts = {len(texts) for pairs in corpus.splits.values() for texts in pairs.references}
    assert counts == {1 if name_of(corpus) == "translation" else 3}


@pytest.mark.parametrize(("pairs", "held_out"), [(1, 1), (200, 20), (29_000, 1_000)])
def test_smaller_corpus_has_the_first_pairs(pairs: int, held_out: int) -> None:
    small, full = read_bundled("translation", pairs), read_bundled("translation", 30_000)
    assert small.sizes == {"test": held_out, "valid": held_out, "train": pairs}
    for split, size in small.sizes.items():
        assert small.splits[split] == full.splits[split].rows(list(range(size)))


@pytest.mark.parametrize("name", NAMES)
def test_too_many_pairs_are_an_error(name: str) -> None:
    with pytest.raises(UserError, match=rf"^env.bundled_pairs=30001: .* {SIZES[name]:,} .*$"):
        read_bundled(name, 30_001)


@pytest.mark.parametrize("name", ["news", "dialogues"])
def test_reference_summary_beats_the_first_words_of_the_document(name: str) -> None:
    pairs = read_bundled(name, 1_000).splits["test"]
    references = [texts[:2] for texts in pairs.references]
    summaries = [texts[2] for texts in pairs.references]
    first_words = [
        " ".join(source.split()[: len(summary.split())])
        for source, summary in zip(pairs.sources, summaries, strict=True)
    ]
    copied, correct = (
        corpus_score("rouge", texts, references, resamples=0)["rouge2"].value
        for texts in (first_words, summaries)
    )
    assert correct > copied + 20
