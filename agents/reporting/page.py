"""``report.html``: one file that needs nothing else, on screen or on paper."""

from __future__ import annotations

import difflib
import string
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from agents.reporting.facts import (
    NOTHING,
    SIDES,
    Scores,
    amount,
    comparison,
    conditions,
    corpus_line,
    costs,
    duration,
    label,
    times,
    title,
    warning,
    wording,
)
from agents.reporting.plots import interval_svg, panel_svg, panels
from textgen_env.data.files import write_atomically
from textgen_env.terminal import visible


class Html(str):
    """Text that already is markup.  Every other string is escaped when it enters an element."""


def element(tag: str, *content: str, **attributes: Any) -> Html:
    """``element("p", "a < b", class_="note")`` → ``<p class="note">a &lt; b</p>``."""
    opening = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(visible(str(value)))}"' for key, value in attributes.items()
    )
    return Html(f"<{tag}{opening}>{join(content)}</{tag}>")


def join(parts: Sequence[str]) -> Html:
    """The parts in one piece; what is not markup is escaped, and its control characters are made visible."""
    return Html("".join(part if isinstance(part, Html) else escape(visible(part, "\n\t")) for part in parts))


def html(
    folder: Path | str,
    results: Mapping[str, Any],
    metrics: Sequence[dict[str, Any]],
    samples: Sequence[Mapping[str, Any]],
    config_yaml: str,
) -> Path:
    """Write ``report.html`` into the run folder.

    results: the contents of ``results.json``; with ``"profile": {name: seconds}`` the page also shows where the time went.
    metrics: the rows of ``metrics.jsonl``.  samples: ``{"index", "source", "reference", "teacher", "student"}`` each.
    config_yaml: the run's settings as text.
    """
    notice, speed = warning(results), conditions(results)
    run = [f"{key} {results[key]}" for key in ("preset", "seed") if results.get(key) is not None]
    drawn = [element("figure", Html(panel_svg(panel, metrics))) for panel in panels(metrics)]
    parts = {
        "title": title(results),
        "run": ", ".join(run),
        "notice": element("p", notice, class_="notice") if notice else "",
        "headline": headline(results),
        "comparison": comparison_table(results),
        "intervals": intervals(results),
        "conditions": element("p", f"Speed measured on the same sentences for both: {speed}.", class_="note") if speed else "",
        "curves": join(drawn) or element("p", "Nothing was logged."),
        "costs": pairs_table(costs(results)) or element("p", "Nothing was booked."),
        "profile": profile(results.get("profile") or {}),
        "samples": sample_articles(samples),
        "provenance": provenance(results),
        "config": config_yaml,
    }
    template = string.Template(files("agents.reporting").joinpath("report_template.html").read_text(encoding="utf-8"))
    path = Path(folder) / "report.html"
    text = template.substitute({name: join([part]) for name, part in parts.items()})
    write_atomically(path, text.encode("utf-8", "backslashreplace"))  # a path in the settings may hold bytes that are not UTF-8
    return path


def headline(results: Mapping[str, Any]) -> Html:
    """The figures that a reader comes for."""
    scores, speed = Scores(results), results.get("speed") or {}
    teacher_size, student_size = ((results.get(side) or {}).get("parameters") for side in SIDES)
    teacher_rate, student_rate = (speed.get(f"{side}_tokens_per_second") for side in SIDES)
    interval, rates = scores.interval("student"), f"{amount(student_rate)} against {amount(teacher_rate)} tokens per second"
    tiles = [
        (f"Student {wording(scores.main)}", scores.value("student"), interval and f"95 % interval {interval}"),
        ("Student − teacher", scores.difference(), f"teacher {scores.cell('teacher', scores.main)}"),
        ("Speed-up", times(speed.get("speedup")), "" if teacher_rate is None or student_rate is None else rates),
        ("Parameters", brief(student_size), f"teacher {brief(teacher_size)}"),
    ]
    return join(
        [
            element("div", element("dt", term), element("dd", element("strong", value), element("span", note)))
            for term, value, note in tiles
        ]
    )


def brief(count: float | None) -> str:
    """``5.2 M``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count is not None and count >= size:
            return f"{count / size:.1f} {unit}"
    return amount(count)


def comparison_table(results: Mapping[str, Any]) -> Html:
    """The terminal's table, one body a section."""
    head = element("tr", element("td"), *(element("th", side.capitalize(), scope="col") for side in SIDES))
    sections = [
        [element("tr", element("th", name, scope="row"), *(element("td", cell) for cell in cells)) for name, *cells in rows]
        for rows in comparison(results)
    ]
    return element("table", element("thead", head), *(element("tbody", *rows) for rows in sections))


def pairs_table(pairs: Sequence[tuple[str, str]], **attributes: Any) -> Html:
    """Two columns, name and value; nothing where there are no pairs."""
    rows = [element("tr", element("th", name, scope="row"), element("td", value)) for name, value in pairs]
    return element("table", element("tbody", *rows), **attributes) if rows else Html("")


def intervals(results: Mapping[str, Any]) -> Html:
    """Both scores on one scale, of those whose interval is known."""
    scores = Scores(results)
    known = {side: tuple(scores.get(side, key) for key in (scores.main, "low", "high")) for side in SIDES}
    drawn: dict[str, Any] = {side: figures for side, figures in known.items() if None not in figures}
    if not drawn:
        return Html("")
    caption = f"Test {wording(scores.main)} with its 95 % interval"
    return element("figure", element("figcaption", caption), Html(interval_svg(drawn, caption)))


def profile(seconds: Mapping[str, float]) -> Html:
    """Where the time went: a bar a phase, longest first."""
    if not seconds:
        return Html("")
    total, longest = sum(seconds.values()) or 1.0, max(seconds.values()) or 1.0
    rows = [
        element(
            "tr",
            element("th", label(name), scope="row"),
            element("td", duration(spent)),
            element("td", f"{100 * spent / total:.0f} %"),
            element("td", element("span", class_="bar", style=f"width:{100 * spent / longest:.1f}%"), class_="bars"),
        )
        for name, spent in sorted(seconds.items(), key=lambda item: -item[1])
    ]
    return join([element("h3", "Where the time went"), element("table", element("tbody", *rows), class_="profile")])


def sample_articles(samples: Sequence[Mapping[str, Any]]) -> Html:
    """Every sample, the words marked where teacher and student part."""
    if not samples:
        return element("p", "No samples were written.")
    same = sum(str(sample["teacher"]).split() == str(sample["student"]).split() for sample in samples)
    intro = f"Marked: the words where teacher and student part. They agree in every word of {same} of {len(samples)} sentences."
    return join([element("p", intro), *map(sample_article, samples)])


def sample_article(sample: Mapping[str, Any]) -> Html:
    """One sample as a list of four texts."""
    texts: dict[str, str] = {key: str(sample.get(key) or NOTHING) for key in ("source", "reference", *SIDES)}
    texts["teacher"], texts["student"] = marked(texts["teacher"], texts["student"])
    lines = [
        element("div", element("dt", label(name)), element("dd", text, dir="auto"), class_=name) for name, text in texts.items()
    ]
    return element("article", element("h3", f"Sentence {sample['index']}"), element("dl", *lines))


def marked(left: str, right: str) -> tuple[Html, Html]:
    """Both texts, with the words that the other one lacks in ``<mark>``."""
    words = left.split(), right.split()
    out: tuple[list[str], list[str]] = ([], [])
    for tag, *bounds in difflib.SequenceMatcher(None, *words, autojunk=False).get_opcodes():
        for side, (start, stop) in enumerate((bounds[:2], bounds[2:])):
            if run := " ".join(words[side][start:stop]):
                out[side].append(join([run]) if tag == "equal" else element("mark", run))
    return Html(" ".join(out[0])), Html(" ".join(out[1]))


def provenance(results: Mapping[str, Any]) -> Html:
    """What it takes to get the same figures again."""
    known = {
        "Corpus": corpus_line(results),
        "Corpus fingerprint": (results.get("corpus") or {}).get("fingerprint"),
        "Metric signature": "; ".join(Scores(results).notes),
        "Teacher": (results.get("teacher") or {}).get("path"),
        "Seed": results.get("seed"),
        **(results.get("versions") or {}),
    }
    return pairs_table([(name, str(value)) for name, value in known.items() if value not in (None, "")], class_="provenance")
