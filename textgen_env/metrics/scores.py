"""Metrics of generated text: BLEU and chrF (sacreBLEU), ROUGE (rouge-score), accuracy.

Each value is a percentage, 0 to 100, and comes with its signature and a 95 % interval over
sentences: the bootstrap, or Wilson's where every sentence is right or wrong or resampling shows no
spread. References come as one tuple a sentence, not necessarily of equal sizes. All texts are
compared in Unicode's NFC; where that changes one, the signature ends in ``norm:nfc``.

Metrics are named ``bleu``, ``chrf``, ``rouge``, ``accuracy`` and ``phonemes`` (word accuracy, WER and
PER; of the last two lower is better); ``bleu:zh`` is BLEU with another
of sacreBLEU's tokenizers than 13a.
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
from textgen_env.metrics.phonemes import phoneme_errors
from textgen_env.metrics.rouge import rouge_choices, rouge_sentence
from textgen_env.metrics.statistics import (
    RESAMPLES,
    bootstrap_interval,
    ratio_interval,
    wilson_interval,
)

References = Sequence[Sequence[str]]
SEED = 12345  # sacreBLEU's own default
TOKENIZERS = (
    "13a",
    "intl",
    "zh",
    "ja-mecab",
    "ko-mecab",
    "char",
    "none",
)  # sacreBLEU's that need no download
BESIDE = {"bleu": "chrf"}  # what is reported beside a metric


@dataclass(frozen=True)
class Score:
    """A value, its 95 % interval over sentences (None without resampling), and how to reproduce it."""

    value: float
    low: float | None
    high: float | None
    signature: str


def corpus_score(
    metric: str, hypotheses: Sequence[str], references: References, resamples: int = RESAMPLES
) -> dict[str, Score]:
    """Every value that ``metric`` has, by name: one each for bleu, chrf and accuracy, four for rouge.

    Args:
        metric: its name, such as ``Task.metric``
        hypotheses: one text a sentence
        references: at least one text a sentence
        resamples: of the bootstrap; 0 for no interval

    Raises:
        UserError: no such metric, no hypotheses, or not one row of references for each.
    """
    _check(metric, hypotheses, references)
    texts, known = _nfc(hypotheses), [*map(_nfc, references)]
    if metric in SACREBLEU:
        scores = {metric.partition(":")[0]: _sacrebleu_score(metric, texts, known, resamples)}
    elif metric == "phonemes":
        scores = _phoneme_scores(texts, known, resamples)
    else:
        sentence, choices = MEANS[metric]
        rows, counts = (
            [sentence(*row) for row in zip(texts, known, strict=True)],
            {*map(len, known)},
        )
        signature = f"nrefs:{counts.pop() if len(counts) == 1 else 'var'}|{choices()}"
        scores = {
            name: _mean_score(np.array([row[name] for row in rows]), resamples, signature)
            for name in rows[0]
        }
    if texts == (*hypotheses,) and known == [*map(tuple, references)]:
        return scores
    return {
        name: replace(value, signature=f"{value.signature}|norm:nfc")
        for name, value in scores.items()
    }


def report_scores(
    metric: str, hypotheses: Sequence[str], references: References, resamples: int = RESAMPLES
) -> dict[str, Score]:
    """``score``, and with BLEU chrF beside it: what a report shows. The first value is the metric's."""
    names = filter(None, (metric, BESIDE.get(metric.partition(":")[0])))
    return {
        key: value
        for name in names
        for key, value in corpus_score(name, hypotheses, references, resamples).items()
    }


def sentence_score(metric: str, hypothesis: str, references: Sequence[str]) -> dict[str, float]:
    """The values of ``score`` for one sentence.

    BLEU has effective order; rouge and accuracy are the terms of the corpus average.
    """
    _check(metric, [hypothesis], [references])
    (text,), known = _nfc([hypothesis]), _nfc(references)
    if metric in SACREBLEU:
        return {
            metric.partition(":")[0]: min(
                _sentence_scorer(metric).sentence_score(text, known).score, 100.0
            )
        }
    if metric == "phonemes":
        errors, length = phoneme_errors(text, known)
        accuracy = _accuracy(text, known)["accuracy"]
        return {"accuracy": accuracy, "wer": 100 - accuracy, "per": 100 * errors / length}
    return MEANS[metric][0](text, known)


def significance(
    metric: str,
    baseline: Sequence[str],
    system: Sequence[str],
    references: References,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> float:
    """The p-value of "both systems are equally good" (two-sided, paired bootstrap over sentences).

    BLEU and chrF are tested by sacreBLEU, with its own seed; of other metrics the first value's mean.
    """
    for texts in (baseline, system):
        _check(metric, texts, references)
    if metric in SACREBLEU:
        named: list[tuple[str, Sequence[str]]] = [
            ("baseline", _nfc(baseline)),
            ("system", _nfc(system)),
        ]
        streams = _streams([*map(_nfc, references)])
        test = PairedTest(
            named, {metric: sacrebleu_metric(metric)}, streams, test_type="bs", n_samples=resamples
        )
        compared: Any = next(values for name, values in test()[1].items() if name != "System")
        # The library counts what exceeds the difference: 1 / (n + 1) for a text against itself.
        return 1.0 if compared[0].score == compared[1].score else float(compared[1].p_value)
    sides = (
        [
            next(iter(sentence_score(metric, *row).values()))
            for row in zip(texts, references, strict=True)
        ]
        for texts in (baseline, system)
    )
    gains = np.subtract(*map(np.array, sides))  # [N]
    generator = np.random.default_rng(seed)
    means = np.array([generator.choice(gains, len(gains)).mean() for _ in range(resamples)])
    return float((np.abs(means - gains.mean()) >= abs(gains.mean())).sum() + 1) / (resamples + 1)


class _Chrf(CHRF):
    """sacreBLEU's bootstrap cannot average the float32 of some resamples and the float of those that score 0."""

    def _compute_f_score(self, statistics: list[int]) -> float:
        return float(super()._compute_f_score(statistics))


def sacrebleu_metric(metric: str, effective_order: bool = False) -> BLEU | CHRF:
    """SacreBLEU's object for ``bleu``, ``bleu:TOKENIZER`` or ``chrf``.

    Raises:
        RuntimeError: the package of the tokenizer is not installed.
    """
    name, _, tokenizer = metric.partition(":")
    if name == "chrf":
        return _Chrf()
    # force: no warning about text that is tokenized already
    return BLEU(force=True, tokenize=tokenizer or "13a", effective_order=effective_order)


@cache
def _sentence_scorer(metric: str) -> BLEU | CHRF:
    return sacrebleu_metric(metric, effective_order=True)


def _sacrebleu_score(
    metric: str, texts: Sequence[str], references: References, resamples: int
) -> Score:
    """The resampling and its seed (``SACREBLEU_SEED``, else 12345) are sacreBLEU's own; without spread Wilson's interval."""
    scorer = sacrebleu_metric(metric)
    result = scorer.corpus_score(texts, _streams(references), n_bootstrap=max(resamples, 1))
    value, signature = (
        min(result.score, 100.0),
        str(scorer.get_signature()),
    )  # its sums exceed 100 by a rounding error
    if not resamples:
        return Score(value, None, None, signature)
    mean, half = float(result._mean), float(result._ci)
    if half == 0:
        return Score(
            value,
            *wilson_interval(value, len(texts)),
            re.sub(r"bs:\d+\|seed:\d+", "ci:wilson", signature),
        )
    return Score(value, max(mean - half, 0.0), min(mean + half, 100.0), signature)


def _mean_score(values: np.ndarray, resamples: int, signature: str) -> Score:
    """The mean of per-sentence ``values`` ``[N]`` with its interval."""
    mean = float(values.mean())
    if not resamples:
        return Score(mean, None, None, signature)
    if set(values) <= {0.0, 100.0} or np.ptp(values) == 0:  # a proportion, or no spread to resample
        return Score(mean, *wilson_interval(mean, len(values)), f"{signature}|ci:wilson")
    low, high = bootstrap_interval(values[:, None], np.random.default_rng(SEED), resamples)[
        :, 0
    ].tolist()
    return Score(mean, low, high, f"{signature}|bs:{resamples}|seed:{SEED}")


def _accuracy(text: str, references: Sequence[str]) -> dict[str, float]:
    """Whether ``text`` equals one of its references, white space aside."""
    return {"accuracy": 100.0 * any(text.split() == known.split() for known in references)}


def _phoneme_scores(
    texts: Sequence[str], references: References, resamples: int
) -> dict[str, Score]:
    """Word accuracy, its complement WER, and PER: all errors divided by all phonemes."""
    (accuracy,) = corpus_score("accuracy", texts, references, resamples).values()
    low, high = (None if end is None else 100 - end for end in (accuracy.high, accuracy.low))
    scores = {
        "accuracy": accuracy,
        "wer": Score(100 - accuracy.value, low, high, accuracy.signature),
    }
    rows = np.array(
        [phoneme_errors(*row) for row in zip(texts, references, strict=True)], dtype=float
    )
    value, low, high = 100 * float(rows[:, 0].sum() / rows[:, 1].sum()), None, None
    signature = f"{accuracy.signature.partition('|')[0]}|edit-distance|closest-reference"
    if resamples:
        low, high = (100 * ratio_interval(rows, np.random.default_rng(SEED), resamples)).tolist()
        signature += f"|bs:{resamples}|seed:{SEED}"
    return scores | {"per": Score(value, low, high, signature)}


Sentence = Callable[[str, Sequence[str]], dict[str, float]]
SACREBLEU = ("bleu", "chrf", *(f"bleu:{tokenizer}" for tokenizer in TOKENIZERS))
MEANS: dict[
    str, tuple[Sentence, Callable[[], str]]
] = {  # averages over sentences, and what their signatures say
    "rouge": (rouge_sentence, rouge_choices),
    "accuracy": (_accuracy, lambda: "exact-match"),
}
METRICS = (*SACREBLEU, *MEANS, "phonemes")


def _check(metric: str, hypotheses: Sequence[str], references: References) -> None:
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    if len(hypotheses) != len(references):
        raise UserError(
            f"{len(hypotheses)} hypotheses but {len(references)} rows of references; give one row each"
        )
    if not len(hypotheses):
        raise UserError("nothing to score: there is no hypothesis")
    for row, known in enumerate(references):
        if isinstance(known, str) or not len(known):
            raise UserError(
                f"references of sentence {row}: give a tuple of at least one text, not {known!r}"
            )


def _nfc(texts: Sequence[str]) -> tuple[str, ...]:
    """Unicode's composed form, so that equal letters are equal characters."""
    return tuple(unicodedata.normalize("NFC", text) for text in texts)


def _streams(references: References) -> list[list[Any]]:
    """One list a reference position, None where a sentence has fewer: how sacreBLEU wants them."""
    return [list(stream) for stream in zip_longest(*references)]
