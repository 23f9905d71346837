"""Format the values of ``results.json`` for readers; the terminal and the HTML page share this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from textgen_env.metrics.scores import Score

MODELS = ("teacher", "student")
MISSING = "–"
NAMES = {
    **{"bleu": "BLEU", "chrf": "chrF", "seconds": "wall-clock time"},
    **{"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "rougeLsum": "ROUGE-Lsum"},
    **{"validation_seconds": "validation time", "evaluation_seconds": "evaluation time"},
    "demonstrations_seconds": "demonstration generation time",
    "demonstrations_tokens": "demonstration tokens",
    "teacher_seconds": "teacher's training time",
}
DEMONSTRATIONS = ("demonstrations_seconds", "demonstrations_tokens")
BUNDLED = (
    "This run used the project's bundled synthetic corpus; "
    "compare its scores only with other runs on that corpus."
)


def display_name(key: str) -> str:
    """How a key of the results is displayed: ``tokens_per_second`` → ``tokens per second``."""
    return NAMES.get(key, key.replace("_", " "))


def row_label(key: str) -> str:
    """``display_name`` with a capital first letter, except for mixed-case names such as chrF."""
    text = display_name(key)
    return text[:1].upper() + text[1:] if text.islower() else text


def format_duration(seconds: float) -> str:
    """``9.3 s``, ``3 min 12 s``, ``1 h 04 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def format_value(value: Any, key: str = "") -> str:
    """``1,234,567``; ``3 min 12 s`` if ``key`` ends in "seconds"; a dash for None."""
    if value is None:
        return MISSING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if key == "seconds" or key.endswith("_seconds"):
        return format_duration(value)
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 100 else f"{value:.3g}"


def format_ratio(ratio: float | None) -> str:
    """``4.3×``."""
    return MISSING if ratio is None else f"{ratio:.1f}×"


def score_entry(scores: Mapping[str, Score], preprocessing: object = "none") -> dict[str, Any]:
    """One model's entry under ``scores`` in ``results.json``.

    Args:
        scores: All metrics by name, the main metric first.
        preprocessing: What was done to the raw text before scoring.

    Returns:
        The value of every metric; ``low``, ``high`` and ``signature`` of the main metric;
        ``preprocessing``; and ``signatures``, of the metrics whose signature is a different one.
    """
    main = next(iter(scores.values()))
    return {
        **{name: score.value for name, score in scores.items()},
        **{"low": main.low, "high": main.high, "signature": main.signature},
        "preprocessing": str(preprocessing),
        "signatures": {
            name: score.signature
            for name, score in scores.items()
            if score.signature != main.signature
        },
    }


class ScoreTable:
    """The formatted scores of teacher and student; only the main metric has an interval."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        scores = results.get("scores") or {}
        self.entries = {model: scores.get(model) or {} for model in MODELS}
        numbers = dict.fromkeys(
            key
            for model in reversed(MODELS)
            for key, value in self.entries[model].items()
            if isinstance(value, int | float)
        )
        self.metrics = [key for key in numbers if key not in ("low", "high")]
        self.main = self.metrics[0] if self.metrics else "score"
        self.notes = [f"{name}: {text}" for name, text in self._notes() if text]

    def _notes(self) -> Iterator[tuple[str, str]]:
        """The signature of each metric, then the preprocessing."""
        entries = [entry for entry in self.entries.values() if entry]
        signatures = [entry.get("signatures") or {} for entry in entries]
        yield display_name(self.main), _join_distinct(entry.get("signature") for entry in entries)
        for name in dict.fromkeys(name for names in signatures for name in names):
            yield display_name(name), _join_distinct(names.get(name) for names in signatures)
        yield "preprocessing", _join_distinct(entry.get("preprocessing") for entry in entries)

    def get(self, model: str, key: str) -> Any:
        """The unformatted value, None if unknown."""
        return self.entries[model].get(key)

    def format(self, value: float | None) -> str:
        """A score with one decimal; an integer metric without."""
        return f"{value:.1f}" if isinstance(value, float) else format_value(value)

    def value(self, model: str) -> str:
        """The main metric."""
        return self.format(self.get(model, self.main))

    def interval(self, model: str) -> str:
        """``[33.1, 34.9]``, or an empty string if there is none."""
        low, high = (self.get(model, key) for key in ("low", "high"))
        if low is None or high is None:
            return ""
        return f"[{self.format(low)},\N{NO-BREAK SPACE}{self.format(high)}]"

    def cell(self, model: str, metric: str) -> str:
        """A metric, followed by its interval if it has one."""
        interval = self.interval(model) if metric == self.main else ""
        return f"{self.format(self.get(model, metric))} {interval}".rstrip()

    def difference(self) -> str:
        """Student − teacher in the main metric, with its sign."""
        teacher, student = (self.get(model, self.main) for model in MODELS)
        if teacher is None or student is None:
            return MISSING
        size = self.format(abs(float(student) - teacher))
        return size if size == "0.0" else ("−" if student < teacher else "+") + size


def _join_distinct(texts: Any) -> str:
    return " / ".join(dict.fromkeys(filter(None, texts)))


class SideBySide(NamedTuple):
    """One row of the teacher–student table."""

    label: str
    teacher: str
    student: str


def teacher_student_rows(results: Mapping[str, Any]) -> list[list[SideBySide]]:
    """The teacher–student table in sections: scores, sizes, speed, exported models."""
    scores, speed = ScoreTable(results), results.get("speed") or {}
    quality = [
        SideBySide(row_label(metric), *(scores.cell(model, metric) for model in MODELS))
        for metric in scores.metrics
    ]
    quality.append(SideBySide("Student − teacher", "", scores.difference()))
    models, sizes = [results.get(model) or {} for model in MODELS], []
    for key in ("architecture", "parameters"):
        values = (format_value(model.get(key)) for model in models)
        sizes.append(SideBySide(row_label(key), *values))
    if any(updates := _updates(results)):
        sizes.append(SideBySide("Updates", *updates))
    rates = [
        SideBySide("Tokens per second", *(_rate(speed, model) for model in MODELS)),
        SideBySide("Speed-up", "", format_ratio(speed.get("speedup"))),
    ]
    return [quality, sizes, rates, *exported_rows(results)]


def _updates(results: Mapping[str, Any]) -> list[str]:
    """How far teacher and student were trained: ``700 (best: 600)``; empty if unknown."""
    texts = []
    for record in (results.get("teacher") or {}, results):
        training, text = record.get("training"), ""
        if training:
            steps, best = (format_value(training[key]) for key in ("steps", "best_step"))
            end = ", early stopping" if training["stopped"] == "patience" else ""
            end = ", unfinished" if unfinished(record) else end
            text = f"{steps} (best: {best}{end})"
        texts.append(text)
    return texts


def unfinished(record: Mapping[str, Any]) -> bool:
    """Whether training ended while it still improved: in its last tenth, without early stopping.

    Args:
        record: ``results.json``, or its "teacher".
    """
    training = record.get("training")
    if not training or training["stopped"] == "patience":
        return False
    return bool(training["improved_step"] > 0.9 * training["steps"])


def _rate(speed: Mapping[str, Any], model: str) -> str:
    """The median over repeats, with the range in parentheses."""
    median, low, high = (
        speed.get(f"{model}_tokens_per_second{end}") for end in ("", "_low", "_high")
    )
    extremes = "" if low is None or high is None else f" ({format_value(low)}–{format_value(high)})"
    return format_value(median) + extremes


def exported_rows(results: Mapping[str, Any]) -> list[list[SideBySide]]:
    """A section with the speed of each exported model; no section if there are none."""
    rows = []
    for quantization, speeds in (results.get("exported") or {}).items():
        for speed in speeds:
            student = speed["exported_tokens_per_second"]
            teacher = speed.get("teacher_tokens_per_second")
            setting = f"greedy, batch {speed['batch_size']}, {speed['threads']} threads"
            setting += f", teacher {speed['precision']} on {speed['device']}"
            label = f"Exported in {quantization}, {setting}: tokens per second"
            rows.append(SideBySide(label, format_value(teacher), format_value(student)))
            speedup = format_ratio(student / teacher if teacher else None)
            rows.append(SideBySide("Speed-up", "", speedup))
    return [rows] if rows else []


def costs(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The cost of training the student; demonstration rows are left out if there were none."""
    return [
        (row_label(key), format_value(value, key))
        for key, value in (results.get("cost") or {}).items()
        if value != 0 or key not in DEMONSTRATIONS
    ]


def conditions(results: Mapping[str, Any]) -> str:
    """How the speed was measured: ``batch size 64, beam 1, device cpu, threads 2``."""
    return ", ".join(
        f"{display_name(key)} {format_value(value, key)}"
        for key, value in (results.get("speed") or {}).items()
        if key != "speedup" and not key.startswith(MODELS) and value is not None
    )


def corpus_line(results: Mapping[str, Any]) -> str:
    """The name, source and split sizes of the corpus."""
    corpus = results.get("corpus") or {}
    splits = [split for split in ("train", "valid", "test") if split in corpus]
    sizes = ", ".join(f"{format_value(corpus[split])} {split}" for split in splits)
    return (
        f"{corpus.get('name', 'unnamed')}, source {corpus.get('source', 'unknown')}: {sizes} pairs"
    )


def title(results: Mapping[str, Any]) -> str:
    """``imitkd_full on IWSLT-v0``."""
    return f"{results.get('algorithm', 'A run')} on {results.get('env', 'an unnamed task')}"


def warning(results: Mapping[str, Any]) -> str:
    """A warning that the scores are not comparable with published ones, or an empty string."""
    bundled = (results.get("corpus") or {}).get("source") == "bundled"
    return BUNDLED if bundled else ""
