"""How good texts are: BLEU (sacreBLEU), ROUGE (rouge-score), accuracy; each with its signature and a 95 % bootstrap interval.

All values are percentages, 0 to 100.  References come as one tuple a sentence, not necessarily of equal sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

from textgen_env.errors import UserError, unknown

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

References = Sequence[Sequence[str]]
RESAMPLES = 1000
SEED = 12345  # sacreBLEU's own default
ROUGE = ("rouge1", "rouge2", "rougeL")


@dataclass(frozen=True)
class Score:
    """A value, its 95 % bootstrap interval (None where no resampling was asked for), and what one needs to reproduce it."""

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
    """Every figure that ``metric`` ("bleu", "rouge", "accuracy") has, by name.  ``resamples`` = 0: no interval."""
    return _lookup(CORPUS, metric)(hypotheses, references, resamples)


def sentence_score(metric: str, hypothesis: str, references: Sequence[str]) -> dict[str, float]:
    """The same figures for one sentence; BLEU with effective order, the others exactly as in the corpus average."""
    return _lookup(SENTENCE, metric)(hypothesis, references)


def bleu(hypotheses: Sequence[str], references: References, resamples: int = RESAMPLES) -> dict[str, Score]:
    """Corpus BLEU: 13a tokens, case kept.  The resampling and its seed (``SACREBLEU_SEED``, else 12345) are sacreBLEU's own."""
    _check(hypotheses, references)
    metric = BLEU(force=True)  # force: no warning about text that is tokenised already
    result = metric.corpus_score(hypotheses, _streams(references), n_bootstrap=max(resamples, 1))
    interval = (result._mean, result._ci) if resamples else None
    return {"bleu": _bleu_score(result.score, interval, str(metric.get_signature()))}


def compare(baseline: Sequence[str], system: Sequence[str], references: References, resamples: int = RESAMPLES) -> Comparison:
    """Is ``system`` better than ``baseline`` by more than chance?  sacreBLEU's paired bootstrap test of corpus BLEU."""
    _check(baseline, references)
    _check(system, references)
    named = [("baseline", baseline), ("system", system)]
    test = PairedTest(named, {"BLEU": BLEU(force=True)}, _streams(references), test_type="bs", n_samples=resamples)
    signatures, scores = test()
    results: list[Any] = scores["BLEU"]
    first, second = (_bleu_score(each.score, (each.mean, each.ci), str(signatures["BLEU"])) for each in results)
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
    if metric == "bleu":
        return compare(baseline, system, references, resamples).p_value
    sides = (
        [next(iter(sentence_score(metric, *row).values())) for row in zip(texts, references, strict=True)]
        for texts in (baseline, system)
    )
    gains = np.subtract(*map(np.array, sides))  # [N]
    generator = np.random.default_rng(seed)
    means = np.array([gains[generator.integers(len(gains), size=len(gains))].mean() for _ in range(resamples)])
    return float((np.abs(means - gains.mean()) >= abs(gains.mean())).sum() + 1) / (resamples + 1)


def rouge(hypotheses: Sequence[str], references: References, resamples: int = RESAMPLES, seed: int = SEED) -> dict[str, Score]:
    """Mean F1 of ROUGE-1, -2 and -L, stemmed; of several references the best one counts, for each figure by itself."""
    _check(hypotheses, references)
    rows = [_rouge_sentence(each, known) for each, known in zip(hypotheses, references, strict=True)]
    scored = f"{_nrefs(references)}|stem:yes|f1:best-reference|rouge-score:{version('rouge-score')}"
    return _mean_scores(rows, resamples, seed, scored)


def accuracy(
    hypotheses: Sequence[str], references: References, resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, Score]:
    """Share of hypotheses that equal one of their references, white space aside."""
    _check(hypotheses, references)
    rows = [_accuracy_sentence(each, known) for each, known in zip(hypotheses, references, strict=True)]
    return _mean_scores(rows, resamples, seed, f"{_nrefs(references)}|exact-match")


CORPUS: dict[str, Callable[[Sequence[str], References, int], dict[str, Score]]]
CORPUS = {"bleu": bleu, "rouge": rouge, "accuracy": accuracy}


def _bleu_sentence(hypothesis: str, references: Sequence[str]) -> dict[str, float]:
    return {"bleu": _sentence_bleu().sentence_score(hypothesis, references).score}


def _rouge_sentence(hypothesis: str, references: Sequence[str]) -> dict[str, float]:
    best = _rouge_scorer().score_multi(references, hypothesis)
    return {name: 100.0 * best[name].fmeasure for name in ROUGE}


def _accuracy_sentence(hypothesis: str, references: Sequence[str]) -> dict[str, float]:
    return {"accuracy": 100.0 * any(hypothesis.split() == each.split() for each in references)}


SENTENCE: dict[str, Callable[[str, Sequence[str]], dict[str, float]]]
SENTENCE = {"bleu": _bleu_sentence, "rouge": _rouge_sentence, "accuracy": _accuracy_sentence}


class _StemmedTokens:
    """rouge-score's own tokens; it stems every word anew, which takes three quarters of its time, so stems are kept."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer  # only here: it takes seconds to import, and only ROUGE needs it
        from rouge_score.tokenize import tokenize

        self.stem = lru_cache(maxsize=100_000)(PorterStemmer().stem)
        self._tokens = tokenize

    def tokenize(self, text: str) -> list[str]:
        return self._tokens(text, self)


@cache
def _rouge_scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(ROUGE), tokenizer=_StemmedTokens())


@cache
def _sentence_bleu() -> BLEU:
    return BLEU(force=True, effective_order=True)


def _lookup(table: dict, metric: str) -> Callable:
    if metric not in table:
        raise unknown("metric", metric, table)
    return table[metric]


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


def _bleu_score(value: float, interval: tuple[float, float] | None, signature: str) -> Score:
    """sacreBLEU gives its interval as (mean, half width)."""
    if interval is None:
        return Score(value, None, None, signature)
    mean, half = map(float, interval)
    return Score(value, max(mean - half, 0.0), min(mean + half, 100.0), signature)


def _mean_scores(rows: list[dict[str, float]], resamples: int, seed: int, signature: str) -> dict[str, Score]:
    """Column means of per-sentence figures, each with the 2.5th and 97.5th percentile of its resampled means."""
    names = list(rows[0])
    values = np.array([[row[name] for name in names] for row in rows])  # [N, figures]
    means = values.mean(axis=0).tolist()
    if not resamples:
        return {name: Score(mean, None, None, signature) for name, mean in zip(names, means, strict=True)}
    intervals = bootstrap(values, np.random.default_rng(seed), resamples).T.tolist()
    signature += f"|bs:{resamples}|seed:{seed}"
    return {name: Score(mean, low, high, signature) for name, mean, (low, high) in zip(names, means, intervals, strict=True)}


def bootstrap(values: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """95 % percentile interval of the column means of ``values`` ``[N, K]`` under resampling of rows → ``[2, K]``."""
    count = len(values)
    means = np.stack([values[generator.integers(count, size=count)].mean(axis=0) for _ in range(resamples)])
    return np.percentile(means, (2.5, 97.5), axis=0)
