"""Metrics of generated text: BLEU and chrF (sacreBLEU), ROUGE (rouge-score), accuracy.

Each value is a percentage, 0 to 100, and comes with its signature and a 95 % interval over
sentences: the bootstrap, or Wilson's where every sentence is right or wrong or resampling shows no spread.
References come as one tuple a sentence, not necessarily of equal sizes. All texts are compared in
Unicode's NFC; where that changes one, the signature ends in ``norm:nfc``.

Metrics are named ``bleu``, ``chrf``, ``rouge`` and ``accuracy``; ``bleu:zh`` is BLEU with another of
sacreBLEU's tokenizers than 13a.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import version
from itertools import zip_longest
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

from textgen_env.errors import UserError, unknown
from textgen_env.metrics.rouge import CHOICES, rouge_sentence
from textgen_env.metrics.statistics import wilson

References = Sequence[Sequence[str]]
RESAMPLES = 1000
SEED = 12345  # sacreBLEU's own default
TOKENIZERS = ("13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none")  # sacreBLEU's that need no download
BESIDE = {"bleu": "chrf"}  # what is reported beside a metric


@dataclass(frozen=True)
class Score:
    """A value, its 95 % interval over sentences (None where no resampling was asked for), and how to reproduce it."""

    value: float
    low: float | None
    high: float | None
    signature: str


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same sentences; ``p_value`` of the hypothesis that they are equally good (two-sided)."""

    baseline: Score
    system: Score
    p_value: float


def score(metric: str, hypotheses: Sequence[str], references: References, resamples: int = RESAMPLES) -> dict[str, Score]:
    """Every value that ``metric`` has, by name: one each for bleu, chrf and accuracy, four for rouge.

    Args:
        metric: its name, such as ``Task.metric``
        hypotheses: one text a sentence
        references: at least one text a sentence
        resamples: of the bootstrap; 0 for no interval

    Raises:
        UserError: no such metric, no hypotheses, or not one row of references for each.
    """
    _check(hypotheses, references)
    corpus, _ = _lookup(metric)
    texts, known = [*map(_nfc, hypotheses)], [tuple(map(_nfc, row)) for row in references]
    changed = texts != list(hypotheses) or known != [*map(tuple, references)]
    values = corpus(texts, known, resamples)
    if not changed:
        return values
    return {name: replace(value, signature=f"{value.signature}|norm:nfc") for name, value in values.items()}


def scores(metric: str, hypotheses: Sequence[str], references: References, resamples: int = RESAMPLES) -> dict[str, Score]:
    """``score``, and with BLEU chrF beside it: what a report shows. The first value is the metric's."""
    beside = BESIDE.get(metric.partition(":")[0])
    names = [metric] if beside is None else [metric, beside]
    return {name: value for each in names for name, value in score(each, hypotheses, references, resamples).items()}


def sentence_score(metric: str, hypothesis: str, references: Sequence[str]) -> dict[str, float]:
    """The values of ``score`` for one sentence.

    BLEU has effective order; rouge and accuracy are the terms of the corpus average.
    """
    _, sentence = _lookup(metric)
    return sentence(_nfc(hypothesis), tuple(map(_nfc, references)))


def compare(
    baseline: Sequence[str],
    system: Sequence[str],
    references: References,
    resamples: int = RESAMPLES,
    metric: str = "bleu",
) -> Comparison:
    """Is ``system`` better than ``baseline`` by more than chance?

    sacreBLEU's paired bootstrap test of ``metric``, which is BLEU or chrF.
    """
    _check(baseline, references)
    _check(system, references)
    named: list[tuple[str, Sequence[str]]]
    named = [("baseline", [*map(_nfc, baseline)]), ("system", [*map(_nfc, system)])]
    scorer, known = sacrebleu_metric(metric), [tuple(map(_nfc, row)) for row in references]
    test = PairedTest(named, {metric: scorer}, _streams(known), test_type="bs", n_samples=resamples)
    signatures, compared = test()
    name = next(iter(signatures))
    results: list[Any] = compared[name]
    signature, count = str(signatures[name]), len(references)
    first, second = (_bleu_score(each.score, (each.mean, each.ci), signature, count) for each in results)
    if first.value == second.value:  # the library counts what exceeds the difference: 1 / (n + 1) for a text against itself
        return Comparison(first, second, 1.0)
    return Comparison(first, second, float(results[1].p_value))


def significance(
    metric: str,
    baseline: Sequence[str],
    system: Sequence[str],
    references: References,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> float:
    """p-value of ``compare`` for any metric: of its first figure's mean where that is an average over sentences."""
    if metric in SACREBLEU:
        return compare(baseline, system, references, resamples, metric).p_value
    sides = (
        [next(iter(sentence_score(metric, *row).values())) for row in zip(texts, references, strict=True)]
        for texts in (baseline, system)
    )
    gains = np.subtract(*map(np.array, sides))  # [N]
    generator = np.random.default_rng(seed)
    means = np.array([gains[generator.integers(len(gains), size=len(gains))].mean() for _ in range(resamples)])
    return float((np.abs(means - gains.mean()) >= abs(gains.mean())).sum() + 1) / (resamples + 1)


class _Chrf(CHRF):
    """sacreBLEU's bootstrap cannot average the float32 of some resamples and the float of those that score 0."""

    def _compute_f_score(self, statistics: list[int]) -> float:
        return float(super()._compute_f_score(statistics))


def sacrebleu_metric(metric: str, effective_order: bool = False) -> BLEU | CHRF:
    """sacreBLEU's object for ``bleu``, ``bleu:TOKENIZER`` or ``chrf``.

    Raises:
        RuntimeError: the package of the tokenizer is not installed.
    """
    name, _, tokenizer = metric.partition(":")
    if name == "chrf":
        return _Chrf()
    # force: no warning about text that is tokenized already
    return BLEU(force=True, tokenize=tokenizer or "13a", effective_order=effective_order)


def _sacrebleu_corpus(metric: str, texts: Sequence[str], references: References, resamples: int) -> dict[str, Score]:
    """The resampling and its seed (``SACREBLEU_SEED``, else 12345) are sacreBLEU's own."""
    scorer = sacrebleu_metric(metric)
    result = scorer.corpus_score(texts, _streams(references), n_bootstrap=max(resamples, 1))
    interval = (result._mean, result._ci) if resamples else None
    return {metric.partition(":")[0]: _bleu_score(result.score, interval, str(scorer.get_signature()), len(references))}


def _sacrebleu_sentence(metric: str, text: str, references: Sequence[str]) -> dict[str, float]:
    return {metric.partition(":")[0]: min(_sentence_scorer(metric).sentence_score(text, references).score, 100.0)}


@cache
def _sentence_scorer(metric: str) -> BLEU | CHRF:
    return sacrebleu_metric(metric, effective_order=True)


def _rouge_corpus(texts: Sequence[str], references: References, resamples: int) -> dict[str, Score]:
    """Mean F1, stemmed; of several references the best one counts, for each value by itself."""
    rows = [rouge_sentence(*row) for row in zip(texts, references, strict=True)]
    choices = f"{_nrefs(references)}|{CHOICES}|f1:best-reference|rouge-score:{version('rouge-score')}"
    return _mean_scores(rows, resamples, SEED, choices)


def _accuracy_corpus(texts: Sequence[str], references: References, resamples: int) -> dict[str, Score]:
    """Share of texts that equal one of their references, white space aside."""
    rows = [_accuracy_sentence(*row) for row in zip(texts, references, strict=True)]
    return _mean_scores(rows, resamples, SEED, f"{_nrefs(references)}|exact-match")


def _accuracy_sentence(text: str, references: Sequence[str]) -> dict[str, float]:
    return {"accuracy": 100.0 * any(text.split() == known.split() for known in references)}


Corpus = Callable[[Sequence[str], References, int], dict[str, Score]]
Sentence = Callable[[str, Sequence[str]], dict[str, float]]
SACREBLEU = ("bleu", "chrf", *(f"bleu:{tokenizer}" for tokenizer in TOKENIZERS))
METRICS: dict[str, tuple[Corpus, Sentence]] = {
    **{name: (partial(_sacrebleu_corpus, name), partial(_sacrebleu_sentence, name)) for name in SACREBLEU},
    "rouge": (_rouge_corpus, rouge_sentence),
    "accuracy": (_accuracy_corpus, _accuracy_sentence),
}


def _lookup(metric: str) -> tuple[Corpus, Sentence]:
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    return METRICS[metric]


def _nfc(text: str) -> str:
    """Unicode's composed form, so that equal letters are equal characters."""
    return unicodedata.normalize("NFC", text)


def _check(hypotheses: Sequence[str], references: References) -> None:
    if len(hypotheses) != len(references):
        raise UserError(f"{len(hypotheses)} hypotheses but {len(references)} rows of references; give one row each")
    if not len(hypotheses):
        raise UserError("nothing to score: there is no hypothesis")
    for row, known in enumerate(references):
        if isinstance(known, str) or not len(known):
            raise UserError(f"references of sentence {row}: give a tuple of at least one text, not {known!r}")


def _streams(references: References) -> list[list[Any]]:
    """One list a reference position, None where a sentence has fewer: how sacreBLEU wants them."""
    return [list(stream) for stream in zip_longest(*references)]


def _nrefs(references: References) -> str:
    counts = {len(known) for known in references}
    return f"nrefs:{counts.pop() if len(counts) == 1 else 'var'}"


def _bleu_score(value: float, interval: tuple[float, float] | None, signature: str, count: int) -> Score:
    """sacreBLEU gives its interval as (mean, half width); where that shows no spread, Wilson's over ``count`` sentences."""
    value = min(value, 100.0)  # sacreBLEU's sums exceed it by a rounding error
    if interval is None:
        return Score(value, None, None, signature)
    mean, half = map(float, interval)
    if half == 0:
        return Score(value, *wilson(value, count), re.sub(r"bs:\d+\|seed:\d+", "ci:wilson", signature))
    return Score(value, max(mean - half, 0.0), min(mean + half, 100.0), signature)


def _mean_scores(rows: list[dict[str, float]], resamples: int, seed: int, signature: str) -> dict[str, Score]:
    """Column means of per-sentence values, each with its interval and what that is."""
    found = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])  # [N]
        mean = float(values.mean())
        if not resamples:
            found[name] = Score(mean, None, None, signature)
        elif set(values) <= {0.0, 100.0} or np.ptp(values) == 0:  # a proportion, or no spread to resample
            found[name] = Score(mean, *wilson(mean, len(values)), f"{signature}|ci:wilson")
        else:
            low, high = bootstrap(values[:, None], np.random.default_rng(seed), resamples)[:, 0].tolist()
            found[name] = Score(mean, low, high, f"{signature}|bs:{resamples}|seed:{seed}")
    return found


def bootstrap(values: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """95 % percentile interval of the column means of ``values`` ``[N, K]`` under resampling of rows → ``[2, K]``."""
    count = len(values)
    means = np.stack([values[generator.integers(count, size=count)].mean(axis=0) for _ in range(resamples)])
    return np.percentile(means, (2.5, 97.5), axis=0)
