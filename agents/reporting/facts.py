"""The values of a run in words, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from textgen_env.metrics.scores import Score

SIDES = ("teacher", "student")
NOTHING = "–"
NAMES = {
    **{"bleu": "BLEU", "chrf": "chrF", "seconds": "wall-clock time"},
    **{"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "rougeLsum": "ROUGE-Lsum"},
    **{"validation_seconds": "validation time", "evaluation_seconds": "evaluation time"},
    "demonstrations_seconds": "time of the demonstrations",
    "demonstrations_tokens": "tokens of the demonstrations",
    "teacher_seconds": "teacher's training time",
}
DEMONSTRATIONS = ("demonstrations_seconds", "demonstrations_tokens")
BUNDLED = "This run took a corpus that the project writes itself: its scores compare only with other runs on it."


def wording(key: str) -> str:
    """The words for a key of the results: ``tokens_per_second`` → ``tokens per second``."""
    return NAMES.get(key, key.replace("_", " "))


def label(key: str) -> str:
    """The same at the start of a line; a name with capitals of its own, such as chrF, stays."""
    text = wording(key)
    return text[:1].upper() + text[1:] if text.islower() else text


def duration(seconds: float) -> str:
    """``9.3 s``, ``3 min 12 s``, ``1 h 04 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
    )


def amount(value: Any, key: str = "") -> str:
    """A value of the results for a reader: ``1,234,567``, ``3 min 12 s``; a dash where it is unknown."""
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if key == "seconds" or key.endswith("_seconds"):
        return duration(value)
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 100 else f"{value:.3g}"


def times(ratio: float | None) -> str:
    """``4.3×``."""
    return NOTHING if ratio is None else f"{ratio:.1f}×"


def scores(scored: Mapping[str, Score], preprocessing: object = "none") -> dict[str, Any]:
    """One side's entry in ``results.json``.

    Args:
        scored: every value by name, the one that counts first
        preprocessing: what was done to the raw text before it was scored

    Returns:
        The values, then the interval and the signature of the first, ``preprocessing``, and in
        ``signatures`` those of the others, by name, that have another signature.
    """
    first = next(iter(scored.values()))
    values = {name: score.value for name, score in scored.items()}
    others = {
        name: score.signature
        for name, score in scored.items()
        if score.signature != first.signature
    }
    return {
        **values,
        **{"low": first.low, "high": first.high, "signature": first.signature},
        **{"preprocessing": str(preprocessing), "signatures": others},
    }


class Scores:
    """The scores of both sides, formatted.  The interval belongs to the first metric."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        given = results.get("scores") or {}
        self.sides: dict[str, Mapping[str, Any]] = {side: given.get(side) or {} for side in SIDES}
        keys = dict.fromkeys(
            key
            for side in reversed(SIDES)
            for key in self.sides[side]
            if key not in ("low", "high")
        )
        self.metrics = [
            key
            for key in keys
            if any(isinstance(self.get(side, key), int | float) for side in SIDES)
        ]
        self.main = self.metrics[0] if self.metrics else "score"
        self.signature = " / ".join(
            dict.fromkeys(
                str(row["signature"]) for row in self.sides.values() if row.get("signature")
            )
        )
        self.notes = [f"{name}: {text}" for name, text in self._scoring() if text]

    def _scoring(self) -> Iterator[tuple[str, str]]:
        """How the values came about, by name."""
        sides = [row for row in self.sides.values() if row]
        yield wording(self.main), self.signature
        for name in dict.fromkeys(name for row in sides for name in row.get("signatures") or ()):
            found = ((row.get("signatures") or {}).get(name) for row in sides)
            yield wording(name), " / ".join(dict.fromkeys(filter(None, found)))
        yield (
            "preprocessing",
            " / ".join(dict.fromkeys(filter(None, (row.get("preprocessing") for row in sides)))),
        )

    def get(self, side: str, key: str) -> Any:
        """The value itself, None where it is unknown."""
        return self.sides[side].get(key)

    def write(self, value: float | None) -> str:
        """A score with one decimal (scores are percentages), a count as it is."""
        return f"{value:.1f}" if isinstance(value, float) else amount(value)

    def value(self, side: str) -> str:
        """The score that the run is about."""
        return self.write(self.get(side, self.main))

    def interval(self, side: str) -> str:
        """``[33.1, 34.9]``, or nothing."""
        ends = [self.get(side, key) for key in ("low", "high")]
        return (
            ""
            if None in ends
            else "[{},\N{NO-BREAK SPACE}{}]".format(*(self.write(end) for end in ends))
        )

    def cell(self, side: str, metric: str) -> str:
        """A score, with its interval where it has one."""
        interval = self.interval(side) if metric == self.main else ""
        return f"{self.write(self.get(side, metric))} {interval}".rstrip()

    def difference(self) -> str:
        """Student − teacher, signed."""
        teacher, student = (self.get(side, self.main) for side in SIDES)
        if teacher is None or student is None:
            return NOTHING
        size = self.write(abs(float(student) - teacher))
        return size if size == "0.0" else ("−" if student < teacher else "+") + size


class Row(NamedTuple):
    """One line of the comparison."""

    label: str
    teacher: str
    student: str


def comparison(results: Mapping[str, Any]) -> list[list[Row]]:
    """Teacher beside student: scores, sizes, speed."""
    known, speed = Scores(results), results.get("speed") or {}
    who = [results.get(side) or {} for side in SIDES]
    return [
        [
            Row(label(metric), *(known.cell(side, metric) for side in SIDES))
            for metric in known.metrics
        ]
        + [Row("Student − teacher", "", known.difference())],
        [
            Row(label(key), *(amount(one.get(key)) for one in who))
            for key in ("architecture", "parameters")
        ],
        [
            Row(
                "Tokens per second", *(_rate(speed, f"{side}_tokens_per_second") for side in SIDES)
            ),
            Row("Speed-up", "", times(speed.get("speedup"))),
        ],
        *exported(results),
    ]


def _rate(speed: Mapping[str, Any], key: str) -> str:
    """The median of the rounds, and their range."""
    low, high = speed.get(f"{key}_low"), speed.get(f"{key}_high")
    return amount(speed.get(key)) + (
        "" if low is None or high is None else f" ({amount(low)}–{amount(high)})"
    )


def exported(results: Mapping[str, Any]) -> list[list[Row]]:
    """The teacher's speed beside that of each exported form of the student; empty where there is none."""
    rows = []
    for quantization, speeds in (results.get("exported") or {}).items():
        for speed in speeds:
            mine, theirs = (
                speed["exported_tokens_per_second"],
                speed.get("teacher_tokens_per_second"),
            )
            what = f"greedy, batch {speed['batch_size']}, {speed['threads']} threads"
            what += f", teacher {speed['precision']} on {speed['device']}"
            rows.append(
                Row(
                    f"Exported in {quantization}, {what}: tokens per second",
                    amount(theirs),
                    amount(mine),
                )
            )
            rows.append(Row("Speed-up", "", times(mine / theirs if theirs else None)))
    return [rows] if rows else []


def costs(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The cost of the student's training, on the same axes for every algorithm; no demonstrations, no row of them."""
    found = (results.get("cost") or {}).items()
    return [
        (label(key), amount(value, key))
        for key, value in found
        if value != 0 or key not in DEMONSTRATIONS
    ]


def conditions(results: Mapping[str, Any]) -> str:
    """How the speed was measured: ``batch size 64, beam 1, device cpu, threads 2``."""
    speed = results.get("speed") or {}
    given = {
        key: value
        for key, value in speed.items()
        if key != "speedup" and not key.startswith(SIDES) and value is not None
    }
    return ", ".join(f"{wording(key)} {amount(value, key)}" for key, value in given.items())


def corpus_line(results: Mapping[str, Any]) -> str:
    """What was taken, where it came from, how much of it."""
    corpus = results.get("corpus") or {}
    sizes = ", ".join(
        f"{amount(corpus[split])} {split}"
        for split in ("train", "valid", "test")
        if split in corpus
    )
    return (
        f"{corpus.get('name', 'unnamed')}, source {corpus.get('source', 'unknown')}: {sizes} pairs"
    )


def title(results: Mapping[str, Any]) -> str:
    """``imitkd_full on IWSLT-v0``."""
    return f"{results.get('algorithm', 'A run')} on {results.get('env', 'an unnamed task')}"


def warning(results: Mapping[str, Any]) -> str:
    """What a reader must know before comparing the scores with published ones; empty where there is nothing."""
    bundled = (results.get("corpus") or {}).get("source") == "bundled"
    return BUNDLED if bundled else ""
