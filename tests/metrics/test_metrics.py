"""Scores against their definitions: identities, sacreBLEU's own numbers, and intervals that behave like intervals."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import sacrebleu

from textgen_env.errors import UserError
from textgen_env.metrics.scores import corpus_score, sentence_score, significance
from textgen_env.metrics.statistics import bootstrap_interval

REFERENCES = [
    ("the old man sees a small dog .", "an old man can see a little dog ."),
    ("she has never been to the sea .",),
    ("we all went home early that day .", "everyone went home early ."),
] * 20
GARBLED = [texts[0].replace("the", "that").replace("home", "house") for texts in REFERENCES]


@pytest.mark.parametrize("metric", ["bleu", "chrf", "rouge", "accuracy"])
def test_perfect_is_100_and_nothing_in_common_is_0(metric):
    right = corpus_score(metric, [texts[-1] for texts in REFERENCES], REFERENCES, resamples=20)
    wrong = corpus_score(metric, ["77 88 99 00"] * len(REFERENCES), REFERENCES, resamples=20)
    for scores, expected in ((right, 100), (wrong, 0)):
        for each in scores.values():
            assert each.value == pytest.approx(expected)
            assert 0 <= each.low <= round(each.value, 9) <= each.high <= 100
            assert 3 < each.high - each.low < 8  # of 60 sentences, Wilson: 3.84 / (60 + 3.84)


def test_bleu_is_sacrebleus_own():
    own = sacrebleu.corpus_bleu(GARBLED, [[texts[0] for texts in REFERENCES]])
    assert (
        corpus_score("bleu", GARBLED, [texts[:1] for texts in REFERENCES])["bleu"].value
        == own.score
    )


def test_an_extra_reference_counts_only_for_its_own_sentence():
    single = corpus_score(
        "bleu",
        [texts[-1] for texts in REFERENCES],
        [texts[:1] for texts in REFERENCES],
        resamples=0,
    )["bleu"]
    several = corpus_score("bleu", [texts[-1] for texts in REFERENCES], REFERENCES, resamples=0)[
        "bleu"
    ]
    assert single.value < 90
    assert several.value == pytest.approx(100)
    assert "nrefs:1|" in single.signature
    assert "nrefs:var|" in several.signature


@pytest.mark.parametrize("metric", ["rouge", "accuracy"])
def test_corpus_figure_is_the_mean_of_the_sentences(metric):
    rows = [
        sentence_score(metric, each, known) for each, known in zip(GARBLED, REFERENCES, strict=True)
    ]
    for name, figure in corpus_score(metric, GARBLED, REFERENCES, resamples=0).items():
        assert figure.value == pytest.approx(np.mean([row[name] for row in rows]))


def test_rouge_takes_the_best_reference_and_stems():
    assert sentence_score("rouge", "cats running", ["dogs", "cat runs"])["rouge2"] == pytest.approx(
        100
    )


@pytest.mark.parametrize("metric", ["bleu", "chrf", "rouge", "accuracy"])
def test_an_interval_may_hold_resamples_that_score_0(metric):
    """One sentence of four is right: a third of the resamples do not contain it."""
    references = [(f"{letter * 3} " * 5,) for letter in "abcd"]
    value = next(iter(corpus_score(metric, [references[0][0], "x", "y", "z"], references).values()))
    assert 0 <= value.low < value.value < value.high <= 100
    better = [known for (known,) in references]
    assert significance(metric, ["x"] * 4, better, references, resamples=200) < 0.1


@pytest.mark.parametrize("metric", ["bleu", "chrf", "rouge", "accuracy"])
def test_intervals_hold_the_value_repeat_and_are_signed(metric):
    hypotheses = [*GARBLED[:30], *(texts[0] for texts in REFERENCES[30:])]
    first, second = (corpus_score(metric, hypotheses, REFERENCES) for _ in range(2))
    assert first == second
    for figure in first.values():
        assert figure.low < figure.value < figure.high
        assert ("ci:wilson" if metric == "accuracy" else "bs:1000|seed:12345") in figure.signature
    for figure in corpus_score(metric, hypotheses, REFERENCES, resamples=0).values():
        assert (figure.low, figure.high) == (None, None)
        assert "bs:" not in figure.signature


def test_bootstrap_covers_the_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        low, high = bootstrap_interval(generator.normal(size=(60, 1)), generator, resamples=200)
        inside += bool(low[0] < 0 < high[0])
    assert 180 <= inside <= 199  # 95 % of 200, give or take three standard deviations


@pytest.mark.parametrize("metric", ["bleu", "chrf", "rouge"])
def test_significance_tells_better_from_equal(metric):
    good = [texts[0] for texts in REFERENCES]
    assert significance(metric, GARBLED, good, REFERENCES, resamples=200) < 0.01
    assert significance(metric, good, good, REFERENCES, resamples=200) == pytest.approx(1)


def test_text_that_is_tokenised_already_is_no_warning(caplog):
    with caplog.at_level(logging.WARNING):
        corpus_score("bleu", ["a b c d ."] * 200, [("a b c d .",)] * 200, resamples=0)
        sentence_score("bleu", "a b c d .", ("a b c d .",))
    assert not caplog.records


def test_white_space_is_no_mistake():
    assert sentence_score("accuracy", " a  b ", ["x", "a b"]) == {"accuracy": 100.0}


@pytest.mark.parametrize("empty", [("", ("a",)), ("a", ("",)), ("", ("",))])
@pytest.mark.parametrize("metric", ["bleu", "rouge"])
def test_empty_text_scores_0(metric, empty):
    assert set(sentence_score(metric, *empty).values()) == {0.0}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("blue", ["a"], [("a",)]), "did you mean 'bleu'"),
        (("bleu", ["a", "b"], [("a",)]), "2 hypotheses but 1 rows of references"),
        (("bleu", [], []), "nothing to score"),
        (("rouge", ["a"], [()]), "references of sentence 0"),
        (("rouge", ["a"], ["a"]), "references of sentence 0"),
    ],
)
def test_mistakes_are_named(arguments, says):
    with pytest.raises(UserError, match=says):
        corpus_score(*arguments)
