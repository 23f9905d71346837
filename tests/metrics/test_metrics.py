"""Scores: identities, equality with sacreBLEU, intervals, significance, and errors."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import sacrebleu

from textgen_env.errors import UserError
from textgen_env.metrics.scores import corpus_score, report_scores, sentence_score, significance

REFERENCES = [
    ("the old man sees a small dog .", "an old man can see a little dog ."),
    ("she has never been to the sea .",),
    ("we all went home early that day .", "everyone went home early ."),
] * 20
FIRST = [texts[0] for texts in REFERENCES]
LAST = [texts[-1] for texts in REFERENCES]
GARBLED = [text.replace("the", "that").replace("home", "house") for text in FIRST]
METRICS = ["bleu", "chrf", "rouge", "accuracy"]


@pytest.mark.parametrize(
    ("hypotheses", "value"), [(LAST, 100), (["77 88 99 00"] * len(REFERENCES), 0)]
)
@pytest.mark.parametrize("metric", METRICS)
def test_equal_text_scores_100_and_disjoint_text_0(
    metric: str, hypotheses: list[str], value: float
) -> None:
    z2 = 1.96**2  # Wilson's interval of 0 or 60 successes of 60 has width z² / (60 + z²)
    for score in corpus_score(metric, hypotheses, REFERENCES, resamples=20).values():
        assert score.value == pytest.approx(value)
        assert 0 <= score.low <= round(score.value, 9) <= score.high <= 100
        assert score.high - score.low == pytest.approx(100 * z2 / (60 + z2), abs=0.01)


def test_bleu_equals_sacrebleu() -> None:
    expected = sacrebleu.corpus_bleu(GARBLED, [FIRST]).score
    assert corpus_score("bleu", GARBLED, [(text,) for text in FIRST])["bleu"].value == expected


def test_additional_reference_counts_for_its_own_sentence() -> None:
    single = corpus_score("bleu", LAST, [(text,) for text in FIRST], resamples=0)["bleu"]
    several = corpus_score("bleu", LAST, REFERENCES, resamples=0)["bleu"]
    assert single.value < 90
    assert several.value == pytest.approx(100)
    assert "nrefs:1|" in single.signature
    assert "nrefs:var|" in several.signature


@pytest.mark.parametrize("metric", ["rouge", "accuracy"])
def test_corpus_value_is_the_mean_of_sentence_values(metric: str) -> None:
    rows = [sentence_score(metric, *row) for row in zip(GARBLED, REFERENCES, strict=True)]
    for name, score in corpus_score(metric, GARBLED, REFERENCES, resamples=0).items():
        assert score.value == pytest.approx(np.mean([row[name] for row in rows]))


def test_report_adds_chrf_to_bleu() -> None:
    scores = report_scores("bleu", GARBLED, REFERENCES, resamples=0)
    assert list(scores) == ["bleu", "chrf"]
    assert scores["chrf"] == corpus_score("chrf", GARBLED, REFERENCES, resamples=0)["chrf"]
    assert list(report_scores("accuracy", GARBLED, REFERENCES, resamples=0)) == ["accuracy"]


@pytest.mark.parametrize("metric", METRICS)
def test_interval_of_a_rare_success_includes_resamples_that_score_0(metric: str) -> None:
    """One of four sentences is right; a third of the resamples do not contain it."""
    references = [(f"{letter * 3} " * 5,) for letter in "abcd"]
    hypotheses = [references[0][0], "x", "y", "z"]
    score = next(iter(corpus_score(metric, hypotheses, references).values()))
    assert 0 <= score.low < score.value < score.high <= 100


@pytest.mark.parametrize("metric", METRICS)
def test_interval_contains_the_value_and_is_reproducible(metric: str) -> None:
    hypotheses = [*GARBLED[:30], *FIRST[30:]]
    scores = corpus_score(metric, hypotheses, REFERENCES)
    assert scores == corpus_score(metric, hypotheses, REFERENCES)
    for score in scores.values():
        assert score.low < score.value < score.high
        assert ("ci:wilson" if metric == "accuracy" else "bs:1000|seed:12345") in score.signature


@pytest.mark.parametrize("metric", METRICS)
def test_interval_is_optional(metric: str) -> None:
    for score in corpus_score(metric, GARBLED, REFERENCES, resamples=0).values():
        assert (score.low, score.high) == (None, None)
        assert "bs:" not in score.signature


@pytest.mark.parametrize("metric", METRICS)
def test_significance_separates_better_from_equal(metric: str) -> None:
    assert significance(metric, GARBLED, FIRST, REFERENCES, resamples=200) < 0.01
    assert significance(metric, FIRST, FIRST, REFERENCES, resamples=200) == pytest.approx(1)


@pytest.mark.parametrize("metric", METRICS)
def test_significance_of_four_sentences(metric: str) -> None:
    references = [(f"{letter * 3} " * 5,) for letter in "abcd"]
    system = [text for (text,) in references]
    assert significance(metric, ["x"] * 4, system, references, resamples=200) < 0.1


def test_tokenized_text_gives_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        corpus_score("bleu", ["a b c d ."] * 200, [("a b c d .",)] * 200, resamples=0)
        sentence_score("bleu", "a b c d .", ("a b c d .",))
    assert not caplog.records


def test_accuracy_ignores_white_space() -> None:
    assert sentence_score("accuracy", " a  b ", ["x", "a b"]) == {"accuracy": 100.0}


@pytest.mark.parametrize(("text", "reference"), [("", "a"), ("a", ""), ("", "")])
@pytest.mark.parametrize("metric", ["bleu", "rouge"])
def test_empty_text_scores_0(metric: str, text: str, reference: str) -> None:
    assert {*sentence_score(metric, text, (reference,)).values()} == {0.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("blue", ["a"], [("a",)]), "did you mean 'bleu'"),
        (("bleu", ["a", "b"], [("a",)]), "2 hypotheses but 1 rows of references"),
        (("bleu", [], []), "nothing to score"),
        (("rouge", ["a"], [()]), "references of sentence 0"),
        (("rouge", ["a"], ["a"]), "references of sentence 0"),
    ],
)
def test_invalid_arguments_are_errors(arguments: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        corpus_score(*arguments)
