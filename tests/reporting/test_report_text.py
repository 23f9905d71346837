"""The results table, ``samples.txt``, and how values are formatted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents import reporting
from agents.reporting.facts import format_duration, format_value
from support.reports import FORMATTED, page, results, sample, terminal_table
from textgen_env.data.corpus import Preprocessing
from textgen_env.metrics.scores import score, scores


def test_the_table_contains_every_value() -> None:
    text = terminal_table(results()).replace("\N{NO-BREAK SPACE}", " ")
    assert [value for value in FORMATTED if value not in text] == []
    assert "source local" in text
    assert "compare its scores only with" not in text


@pytest.mark.parametrize(("seconds", "tokens"), [(0.0, 0), (2.5, 1234), (0.0, 1234)])
def test_demonstration_rows_appear_only_if_there_were_any(
    seconds: float, tokens: int, tmp_path: Path
) -> None:
    cost: dict[str, Any] = {"demonstrations_seconds": seconds, "demonstrations_tokens": tokens}
    run = results(cost=cost | {"oracle_queries": 0})
    for text in (terminal_table(run), page(tmp_path, run, metrics=[]).text):
        assert ("Demonstration generation time" in text) == (seconds > 0)
        assert ("Demonstration tokens" in text) == (tokens > 0)
        assert "Oracle queries" in text  # other costs are listed even if they are 0


def test_a_bundled_corpus_carries_a_warning(tmp_path: Path) -> None:
    sizes = dict.fromkeys(("train", "valid", "test"), 1)
    run = results(corpus={"name": "grammar", "source": "bundled", "fingerprint": "ab", **sizes})
    assert "compare its scores only with" in " ".join(terminal_table(run).split())
    assert "compare its scores only with" in page(tmp_path, run, metrics=[]).text


def test_the_table_escapes_console_markup() -> None:
    student = {"architecture": "[/bold]", "parameters": 1}
    text = terminal_table(results(env="[red]x[/red]", student=student))
    assert "[red]x[/red]" in text
    assert "[/bold]" in text


def test_every_rouge_value_is_reported(tmp_path: Path) -> None:
    texts = ["a cat sat on the mat", "two dogs ran"]
    references = [(text,) for text in texts]
    entries = {
        "teacher": reporting.score_entry(score("rouge", texts, references, 10)),
        "student": reporting.score_entry(score("rouge", ["a cat sat", "two dogs"], references, 10)),
    }
    student = entries["student"]
    values = {"rouge1", "rouge2", "rougeL", "rougeLsum"}
    assert student.keys() - values == {
        *("low", "high", "signature", "preprocessing", "signatures"),
    }
    run = results(scores=entries)
    for text in (terminal_table(run), page(tmp_path, run, metrics=[]).text):
        for name in ("ROUGE-1", "ROUGE-2", "ROUGE-L"):
            assert name in text
        for key in ("rouge1", "rouge2", "low", "high"):
            assert f"{student[key]:.1f}" in text
        assert student["signature"] in text


def test_preprocessing_and_every_signature_are_reported(tmp_path: Path) -> None:
    texts = ["a cat sat on the mat", "two dogs ran"]
    references = [("a cat sat on it",), ("two dogs ran",)]
    preprocessing = Preprocessing(unescape=True, lowercase=True)
    entry = reporting.score_entry(scores("bleu", texts, references, 10), preprocessing)
    assert list(entry)[:2] == ["bleu", "chrf"]
    assert entry["preprocessing"] == str(preprocessing)
    chrf = entry["signatures"]["chrf"]
    assert "|nc:6|" in chrf
    run = results(scores={"teacher": entry, "student": entry})
    for text in (terminal_table(run), page(tmp_path, run, metrics=[]).text):
        assert "chrF" in text
        for note in (entry["signature"], chrf, f"preprocessing: {preprocessing}"):
            assert note in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0.0 s"), (9.34, "9.3 s"), (59.97, "1 min 00 s")),
        *((192.7, "3 min 13 s"), (3599.6, "1 h 00 min")),
    ],
)
def test_durations_round_to_readable_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((None, "–"), (0, "0"), (1234567, "1,234,567"), (0.25, "0.25")),
        *(("cpu", "cpu"), (True, "True")),
    ],
)
def test_values_are_formatted_and_unknown_ones_are_a_dash(value: Any, text: str) -> None:
    assert format_value(value) == text


def test_samples_are_aligned_and_wrapped_without_loss() -> None:
    long = " ".join(f"word{i}" for i in range(60))
    text = reporting.samples_text([sample(3, student=long), sample(8, teacher="")], width=80)
    assert max(map(len, text.splitlines())) <= 80
    first, second = text.split("sentence 8")
    assert " ".join(first.split("student")[1].split()) == long
    assert all(line[13] != " " for line in text.splitlines() if line.startswith("  "))
    labels = [line[2:13].strip() for line in second.splitlines()[1:]]
    assert labels == ["source", "reference", "teacher", "student"]
