"""ROUGE: equal to rouge-score for ASCII text, and sensible for other scripts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from rouge_score.rouge_scorer import RougeScorer

from support.corpora import read_summaries
from textgen_env.metrics.rouge import VALUES, split_sentences
from textgen_env.metrics.scores import sentence_score

WORDS = [
    "the",
    "running",
    "Cats",
    "don't",
    "U.S.A.",
    "3.5%",
    "state-of-the-art",
    "e_mail",
    "--",
    "b2b",
    "flies",
]


def rouge_score(text: str, reference: str) -> dict[str, float]:
    """The values of the rouge-score package, in percent."""
    values = RougeScorer(list(VALUES), use_stemmer=True).score(reference, text)
    return {name: 100 * value.fmeasure for name, value in values.items()}


def test_ascii_text_scores_as_in_rouge_score() -> None:
    generator = random.Random(0)

    def draw() -> str:
        words = generator.choices([*WORDS, "\n"], k=generator.randint(3, 15))
        return " ".join(words) + "\nthe end"

    for _ in range(200):
        text, reference = draw(), draw()
        expected = rouge_score(text, reference)
        assert sentence_score("rouge", text, [reference]) == pytest.approx(expected)


def test_real_summaries_score_as_in_rouge_score(corpora: Path) -> None:
    pairs = read_summaries(corpora / "dialogsum").splits["test"]
    rows = [texts for texts in pairs.references if "".join(texts).isascii()][:100]
    assert len(rows) == 100
    for text, reference, *_ in rows:
        expected = rouge_score(split_sentences(text), split_sentences(reference))
        assert sentence_score("rouge", text, [reference]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "reference", "value"),
    [
        ("schön", "sch n", 0),
        ("schön", "schon", 0),
        ("SCHÖN", "schön", 100),
        ("猫が寝る", "猫が走る", 75),  # one token per character
        ("iPhone は 高い", "iphone は 安い", 75),
        ("می\u200cروم", "میروم", 100),  # the joiner is not a letter
        ("!!!", "!!!", 100),
        ("😀 😀", "😀 😀", 100),
        ("!!!", "???", 0),
        ("!!!", "a", 0),
        ("a", "!!!", 0),
        (" ", "a", 0),
        ("\u3000", "猫", 0),
    ],
)
def test_rouge1_of_short_texts(text: str, reference: str, value: float) -> None:
    assert sentence_score("rouge", text, [reference])["rouge1"] == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one . two ! three", "one .\ntwo !\nthree"),
        ('he said "no." then left.', 'he said "no."\nthen left.'),
        ("一。二！三", "一。\n二！\n三"),
        ("3.5 is a number", "3.5 is a number"),
        ("one . still one\ntwo", "one . still one\ntwo"),
    ],
)
def test_one_line_is_split_into_sentences(text: str, lines: str) -> None:
    assert split_sentences(text).strip() == lines


def test_rouge_lsum_ignores_the_order_of_sentences() -> None:
    text, reference = "the cat sat . the dog ran .", "the dog ran . the cat sat ."
    values = sentence_score("rouge", text, [reference])
    assert values["rougeLsum"] == pytest.approx(100)
    assert values["rougeL"] == pytest.approx(50)  # 3 of 6 tokens are in order


def test_best_reference_counts_and_tokens_are_stemmed() -> None:
    values = sentence_score("rouge", "cats running", ["dogs", "cat runs"])
    assert values["rouge2"] == pytest.approx(100)
