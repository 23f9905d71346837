"""Metrics of generated text: BLEU and chrF (sacreBLEU), ROUGE (rouge-score), accuracy.

Values are percentages, 0 to 100, with a signature and a 95 % interval over sentences: the bootstrap
interval, or Wilson's if all sentence scores are 0 or 100, or if resampling shows no variance.
References are one tuple per sentence; sentences may have different numbers of them. All texts are
compared in Unicode's NFC; where that changes a text, the signature ends in ``norm:nfc``.

Metric names are ``bleu``, ``chrf``, ``rouge``, ``accuracy`` and ``phonemes`` (word accuracy, WER
and PER; lower is better for the last two); ``bleu:zh`` is BLEU with sacreBLEU's tokenizer ``zh``
instead of ``13a``; a dotted path names a function of the user's, see ``metrics.functions``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import zip_longest
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

from textgen_env.errors import UserError, unknown
from textgen_env.metrics.functions import Function, exact_match, find_function, is_path_of_metric
from textgen_env.metrics.phonemes import phoneme_errors
from textgen_env.metrics.rouge import rouge_sentence, rouge_signature
from textgen_env.metrics.statistics import (
    RESAMPLES,
    bootstrap_interval,
    paired_bootstrap_p_value,
    ratio_interval,
    wilson_interval,
)

References = Sequence[Sequence[str]]
SEED = 12345  # sacreBLEU's default
# sacreBLEU's tokenizers that need no download
TOKENIZERS = ("13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none")


@dataclass(frozen=True)
class Score:
    """A metric's value, its 95 % interval over sentences, and its signature.

    Args:
        value: The value in percent.
        low: Lower end of the interval, or None if it was not computed.
        high: Upper end.
        signature: The settings that reproduce the value.
    """

    value: float
    low: float | None
    high: float | None
    signature: str


def corpus_score(
    metric: str, hypotheses: Sequence[str], references: References, resamples: int = RESAMPLES
) -> dict[str, Score]:
    """Compute all values of a metric: one for bleu, chrf and accuracy, four for rouge.

    Args:
        metric: Metric name, such as ``Task.metric``.
        hypotheses: One text per sentence.
        references: At least one text per sentence.
        resamples: Number of bootstrap resamples; 0 for no interval.

    Returns:
        ``{name: score}``.

    Raises:
        UserError: The metric is unknown, there is no hypothesis, or the numbers of hypotheses and
            references differ.
    """
    _check(metric, hypotheses, references)
    texts, targets = _nfc(hypotheses), [*map(_nfc, references)]
    if metric in SACREBLEU:
        scores = {metric.partition(":")[0]: _sacrebleu_score(metric, texts, targets, resamples)}
    elif metric == "phonemes":
        scores = _phoneme_scores(texts, targets, resamples)
    else:
        sentence_values, settings = _mean_of(metric)
        rows = [sentence_values(*row) for row in zip(texts, targets, strict=True)]
        counts = {*map(len, targets)}
        signature = f"nrefs:{counts.pop() if len(counts) == 1 else 'var'}|{settings()}"
        scores = {
            name: _mean_score(np.array([row[name] for row in rows]), resamples, signature)
            for name in rows[0]
        }
    if texts == (*hypotheses,) and targets == [*map(tuple, references)]:
        return scores
    return {
        name: replace(score, signature=f"{score.signature}|norm:nfc")
        for name, score in scores.items()
    }


def report_scores(
    metric: str, hypotheses: Sequence[str], references: References, resamples: int = RESAMPLES
) -> dict[str, Score]:
    """Compute the values to report: those of ``corpus_score``, plus chrF if the metric is BLEU.

    The first value is the metric's own.
    """
    scores = corpus_score(metric, hypotheses, references, resamples)
    if metric.partition(":")[0] == "bleu":
        scores |= corpus_score("chrf", hypotheses, references, resamples)
    return scores


def sentence_score(metric: str, hypothesis: str, references: Sequence[str]) -> dict[str, float]:
    """Compute the values of ``corpus_score`` for one sentence.

    Sentence BLEU uses the effective order. For rouge and accuracy, the corpus values are the means
    of these.
    """
    _check(metric, [hypothesis], [references])
    (text,), targets = _nfc([hypothesis]), _nfc(references)
    if metric in SACREBLEU:
        value = _sentence_scorer(metric).sentence_score(text, targets).score
        return {metric.partition(":")[0]: min(value, 100.0)}
    if metric == "phonemes":
        errors, length = phoneme_errors(text, targets)
        accuracy = exact_match(text, targets)["accuracy"]
        return {"accuracy": accuracy, "wer": 100 - accuracy, "per": 100 * errors / length}
    return _mean_of(metric)[0](text, targets)


def significance(
    metric: str,
    baseline: Sequence[str],
    system: Sequence[str],
    references: References,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> float:
    """Two-sided p-value of the paired bootstrap over sentences: are both systems equally good?

    BLEU and chrF use sacreBLEU's test and seed. Other metrics test the mean of their first value.

    Args:
        metric: Metric name.
        baseline: Texts of one system, one per sentence.
        system: Texts of the other system.
        references: At least one text per sentence.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
    """
    _check(metric, baseline, references)
    _check(metric, system, references)
    if metric in SACREBLEU:
        test = PairedTest(
            [("baseline", _nfc(baseline)), ("system", _nfc(system))],
            {metric: sacrebleu_metric(metric)},
            _streams([*map(_nfc, references)]),
            test_type="bs",
            n_samples=resamples,
        )
        results: Any = next(values for name, values in test()[1].items() if name != "System")
        # sacreBLEU counts strictly greater differences, so equal texts would get p = 1 / (n + 1)
        return 1.0 if results[0].score == results[1].score else float(results[1].p_value)

    def value(text: str, targets: Sequence[str]) -> float:
        return next(iter(sentence_score(metric, text, targets).values()))

    rows = zip(baseline, system, references, strict=True)
    differences = np.array(
        [value(one, targets) - value(two, targets) for one, two, targets in rows]
    )
    return paired_bootstrap_p_value(differences, np.random.default_rng(seed), resamples)


class _Chrf(CHRF):
    """chrF whose scores are all ``float``: sacreBLEU's bootstrap cannot average mixed types."""

    def _compute_f_score(self, statistics: list[int]) -> float:
        return float(super()._compute_f_score(statistics))


def sacrebleu_metric(metric: str, effective_order: bool = False) -> BLEU | CHRF:
    """Create sacreBLEU's metric for ``bleu``, ``bleu:TOKENIZER`` or ``chrf``.

    Raises:
        RuntimeError: The package of the tokenizer is not installed.
    """
    name, _, tokenizer = metric.partition(":")
    if name == "chrf":
        return _Chrf()
    # force: do not warn about tokenized text
    return BLEU(force=True, tokenize=tokenizer or "13a", effective_order=effective_order)


@cache
def _sentence_scorer(metric: str) -> BLEU | CHRF:
    return sacrebleu_metric(metric, effective_order=True)


def _sacrebleu_score(
    metric: str, texts: Sequence[str], references: References, resamples: int
) -> Score:
    """Corpus score with sacreBLEU's bootstrap interval, seeded by ``SACREBLEU_SEED`` or 12345."""
    scorer = sacrebleu_metric(metric)
    result = scorer.corpus_score(texts, _streams(references), n_bootstrap=max(resamples, 1))
    value = min(result.score, 100.0)  # rounding errors can exceed 100
    signature = str(scorer.get_signature())
    if not resamples:
        return Score(value, None, None, signature)
    mean, half = float(result._mean), float(result._ci)
    if half == 0:
        signature = re.sub(r"bs:\d+\|seed:\d+", "ci:wilson", signature)
        return Score(value, *wilson_interval(value, len(texts)), signature)
    return Score(value, max(mean - half, 0.0), min(mean + half, 100.0), signature)


def _mean_score(values: np.ndarray, resamples: int, signature: str) -> Score:
    """The mean of sentence scores ``[N]`` with its interval."""
    mean = float(values.mean())
    if not resamples:
        return Score(mean, None, None, signature)
    if set(values) <= {0.0, 100.0} or np.ptp(values) == 0:  # a proportion, or no variance
        return Score(mean, *wilson_interval(mean, len(values)), f"{signature}|ci:wilson")
    interval = bootstrap_interval(values[:, None], np.random.default_rng(SEED), resamples)
    low, high = interval[:, 0].tolist()
    return Score(mean, low, high, f"{signature}|bs:{resamples}|seed:{SEED}")


def _phoneme_scores(
    texts: Sequence[str], references: References, resamples: int
) -> dict[str, Score]:
    """Word accuracy, its complement WER, and PER: all errors divided by all phonemes."""
    (accuracy,) = corpus_score("accuracy", texts, references, resamples).values()
    low, high = (None if end is None else 100 - end for end in (accuracy.high, accuracy.low))
    wer = Score(100 - accuracy.value, low, high, accuracy.signature)
    pairs = zip(texts, references, strict=True)
    rows = np.array([phoneme_errors(*pair) for pair in pairs], dtype=float)  # [N, 2]
    value, low, high = 100 * float(rows[:, 0].sum() / rows[:, 1].sum()), None, None
    signature = f"{accuracy.signature.partition('|')[0]}|edit-distance|closest-reference"
    if resamples:
        low, high = (100 * ratio_interval(rows, np.random.default_rng(SEED), resamples)).tolist()
        signature += f"|bs:{resamples}|seed:{SEED}"
    return {"accuracy": accuracy, "wer": wer, "per": Score(value, low, high, signature)}


SACREBLEU = ("bleu", "chrf", *(f"bleu:{tokenizer}" for tokenizer in TOKENIZERS))
# metrics that are means of sentence scores → (sentence scores, settings for the signature)
MEANS: dict[str, tuple[Function, Callable[[], str]]] = {
    "rouge": (rouge_sentence, rouge_signature),
    "accuracy": (exact_match, lambda: "exact-match"),
}
METRICS = (*SACREBLEU, *MEANS, "phonemes")


def _mean_of(metric: str) -> tuple[Function, Callable[[], str]]:
    return MEANS.get(metric) or (find_function(metric), lambda: metric)


def check_metric(metric: str) -> None:
    """Raise UserError unless ``metric`` is a name or the dotted path of a function."""
    if is_path_of_metric(metric):
        find_function(metric)
    elif metric not in METRICS:
        raise unknown("metric", metric, METRICS)


def _check(metric: str, hypotheses: Sequence[str], references: References) -> None:
    check_metric(metric)
    if len(hypotheses) != len(references):
        raise UserError(
            f"{len(hypotheses)} hypotheses but {len(references)} rows of references; "
            "give one row of references per hypothesis"
        )
    if not len(hypotheses):
        raise UserError("nothing to score: there is no hypothesis")
    for row, texts in enumerate(references):
        if isinstance(texts, str) or not len(texts):
            raise UserError(
                f"references of sentence {row}: expected at least one text in a tuple, "
                f"got {texts!r}"
            )


def _nfc(texts: Sequence[str]) -> tuple[str, ...]:
    """Unicode's composed form, in which equal letters are equal characters."""
    return tuple(unicodedata.normalize("NFC", text) for text in texts)


def _streams(references: References) -> list[list[Any]]:
    """Transpose for sacreBLEU: one list per reference position, None where a sentence has fewer."""
    return [list(stream) for stream in zip_longest(*references)]
