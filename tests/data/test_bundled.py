"""The bundled corpora are what their data card says, and every task takes the first pairs of one."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from textgen_env.data.bundled import ASSETS, NAMES, read_bundled
from textgen_env.data.corpus import Corpus
from textgen_env.errors import UserError
from textgen_env.metrics.scores import corpus_score

ALL = {"translation": 30_000, "news": 10_000, "dialogues": 10_000}


@pytest.fixture(scope="module", params=NAMES)
def corpus(request: pytest.FixtureRequest) -> Corpus:
    return read_bundled(request.param, ALL[request.param])


def name_of(corpus: Corpus) -> str:
    return corpus.origin.partition(".")[0]


def test_the_data_card_names_sizes_and_fingerprint(corpus: Corpus) -> None:
    card = (ASSETS / "README.md").read_text(encoding="utf-8")
    row = next(
        line for line in card.splitlines() if line.startswith(f"| `{name_of(corpus)}.tsv.xz`")
    )
    assert re.findall(r"[\d,]+ / [\d,]+ / [\d,]+", row) == [
        " / ".join(f"{corpus.sizes[split]:,}" for split in ("test", "valid", "train"))
    ]
    assert f"`{corpus.fingerprint}`" in row


def test_all_files_together_stay_small() -> None:
    assert {path.stem for path in ASSETS.glob("*.xz")} == {f"{name}.tsv" for name in NAMES}
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < 4_000_000


def test_no_source_occurs_twice(corpus: Corpus) -> None:
    sources = [text for pairs in corpus.splits.values() for text in pairs.sources]
    assert len(set(sources)) == len(sources) == sum(corpus.sizes.values())
    assert corpus.repeated == {}


def test_text_is_clean(corpus: Corpus) -> None:
    for pairs in corpus.splits.values():
        for text in chain(pairs.sources, *pairs.references):
            assert text == " ".join(text.split()) == text.lower() != ""
            assert text.count('"') % 2 == 0


def test_every_pair_has_the_same_number_of_references(corpus: Corpus) -> None:
    counts = {len(texts) for pairs in corpus.splits.values() for texts in pairs.references}
    assert counts == {1 if name_of(corpus) == "translation" else 3}


@pytest.mark.parametrize(("pairs", "held_out"), [(1, 1), (200, 20), (29_000, 1_000)])
def test_fewer_pairs_are_the_first_ones(pairs: int, held_out: int) -> None:
    few, whole = read_bundled("translation", pairs), read_bundled("translation", 30_000)
    assert few.sizes == {"test": held_out, "valid": held_out, "train": pairs}
    for split, size in few.sizes.items():
        assert few.splits[split] == whole.splits[split].rows(list(range(size)))


@pytest.mark.parametrize("name", NAMES)
def test_more_pairs_than_there_are_is_one_line(name: str) -> None:
    with pytest.raises(UserError, match=rf"^env.bundled_pairs=30001: .* {ALL[name]:,} .*$"):
        read_bundled(name, 30_001)


@pytest.mark.parametrize("name", ["news", "dialogues"])
def test_copying_the_first_words_is_no_summary(name: str) -> None:
    """Another correct summary scores far better than the beginning of the document."""
    pairs = read_bundled(name, 1_000).splits["test"]
    references = [texts[:2] for texts in pairs.references]
    other = [texts[2] for texts in pairs.references]
    lead = [
        " ".join(source.split()[: len(text.split())])
        for source, text in zip(pairs.sources, other, strict=True)
    ]
    copied, right = (
        corpus_score("rouge", texts, references, resamples=0) for texts in (lead, other)
    )
    assert right["rouge2"].value > copied["rouge2"].value + 20
