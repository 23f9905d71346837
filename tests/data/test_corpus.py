"""The corpus record: its fingerprint and the count of repeated sources."""

from __future__ import annotations

from support.corpora import make_corpus


def test_fingerprint_depends_on_text_order_and_split() -> None:
    corpus = make_corpus(train=["a", "b"], test=["c"])
    assert corpus.fingerprint == make_corpus(train=["a", "b"], test=["c"]).fingerprint
    assert len(corpus.fingerprint) == 16
    others = [
        make_corpus(train=["b", "a"], test=["c"]),
        make_corpus(train=["a"], test=["b", "c"]),
        make_corpus(train=["ab"], test=["c"]),
    ]
    assert len({corpus.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_sources_repeated_across_splits_are_counted() -> None:
    corpus = make_corpus(train=["a", "a", "b"], valid=["a", "c"], test=["b", "c", "d"])
    assert corpus.repeated == {"valid": 1, "test": 2}
    assert "1 valid, 2 test source sentences also occur in an earlier split" in corpus.describe()
    assert "earlier split" not in make_corpus(train=["a", "a"], test=["b"]).describe()
