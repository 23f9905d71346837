"""Results, metrics and samples of a run that never happened, and a parser for its page."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents import reporting
from agents.reporting.page import save_html

VOID = {"meta", "link", "br", "hr", "img", "input"}
SIGNATURE = "nrefs:1|bs:1000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:2.5.1"
HOSTILE = (
    "</pre></dd><script>alert('x')</script> & \"quoted\" 'single' $title ${config} "
    + "x" * 300
    + " شكرا"
)
# How a report formats the values of ``results()``.
FORMATTED = (
    *("36.4", "35.5", "37.3", "34.2", "33.2", "35.1", "−2.2"),
    *("11,873,280", "2,613,248", "4,812", "15,531", "3.2×"),
    "4,100 (best: 4,001, unfinished)",
    *("1,843,201", "4,811,377", "5,120,444", "977,123", "3 min 13 s"),
    *("53,113", "2,214", "6,750", SIGNATURE),
)
# Changes to ``results()`` for a run with an exact oracle as its teacher.
EXACT = {
    "teacher": {"architecture": "exact", "parameters": None, "path": None},
    "scores": {
        "teacher": {},
        "student": {"accuracy": 99.5, "low": None, "high": None, "signature": "exact-match"},
    },
    "speed": {
        **{"teacher_tokens_per_second": None, "student_tokens_per_second": 812.0},
        "speedup": None,
    },
}


def results(**changes: Any) -> dict[str, Any]:
    """A ``results.json`` in which no two values are equal."""
    return {
        **{"env": "IWSLT-v0", "algorithm": "imitkd_full", "seed": 17, "preset": "quick"},
        "corpus": {
            **{"name": "iwslt14", "source": "local", "fingerprint": "9f3c2a71be04"},
            **{"train": 53_113, "valid": 2_214, "test": 6_750},
        },
        "teacher": {
            **{"architecture": "transformer", "parameters": 11_873_280},
            "path": "teachers/9f3c",
        },
        "student": {"architecture": "gru", "parameters": 2_613_248},
        "training": {
            **{"steps": 4_100, "best_step": 4_001, "improved_step": 3_901, "stopped": "steps"}
        },
        "scores": {
            "teacher": {"bleu": 36.42, "low": 35.51, "high": 37.28, "signature": SIGNATURE},
            "student": {"bleu": 34.17, "low": 33.24, "high": 35.08, "signature": SIGNATURE},
        },
        "speed": {
            **{"teacher_tokens_per_second": 4812.4, "student_tokens_per_second": 15530.9},
            **{"speedup": 3.227, "batch_size": 64, "beam": 5, "device": "cpu", "threads": 2},
        },
        "cost": {
            **{"student_tokens_decoded": 1_843_201, "teacher_tokens_scored": 4_811_377},
            **{"gradient_tokens": 5_120_444, "oracle_queries": 977_123, "seconds": 192.7},
        },
        "versions": {"torch": "2.13.0", "sacrebleu": "2.5.1"},
    } | changes


def metrics(steps: int = 40, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of ``metrics.jsonl`` for a teacher and a student, with a validation every tenth step."""
    generator = np.random.default_rng(seed)
    rows = []
    for phase in ("teacher", "student"):
        for step in range(1, steps + 1):
            row = {"step": step, "phase": phase, "loss": 5 / step + generator.random()}
            row |= {"lr": 1e-3, "tokens_per_second": 900.0}
            row |= {"beta": 0.9**step} if phase == "student" else {}
            row |= {"valid_loss": 6 / step, "valid_bleu": 30 - 30 / step} if step % 10 == 0 else {}
            rows.append(row)
    return rows


def sample(index: int = 3, **texts: str) -> dict[str, Any]:
    """One sample; ``texts`` replace the source, the reference or an output."""
    default = {"source": "das ist gut .", "reference": "that is good ."}
    default |= {"teacher": "that is fine .", "student": "this is fine ."}
    return {"index": index, **default, **texts}


class ParsedPage(HTMLParser):
    """The tags and the text of an HTML file; AssertionError if its tags are not balanced."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.source, self.text = path.read_text(encoding="utf-8"), ""
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"<{tag}> repeats an attribute"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def attributes(self, name: str) -> list[str]:
        """The values of an attribute, in document order."""
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


def page(folder: Path, run: dict[str, Any] | None = None, **changes: Any) -> ParsedPage:
    """Write the page of a run into ``folder`` and parse it."""
    arguments: dict[str, Any] = {"results": run or results(), "metrics": metrics()}
    arguments |= {"samples": [sample()], "config_yaml": "seed: 17\n"}
    return ParsedPage(save_html(folder, **arguments | changes))


def terminal_table(run: dict[str, Any], width: int = 140) -> str:
    """The results table as a terminal would print it."""
    console = Console(file=io.StringIO(), width=width)
    console.print(reporting.results_table(run))
    return console.file.getvalue()  # type: ignore[attr-defined]
