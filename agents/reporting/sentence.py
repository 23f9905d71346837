"""One sentence, step by step, in the terminal and as a page of its own that one steps through with the arrow keys."""

from __future__ import annotations

import base64
import hashlib
import re
import string
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from itertools import accumulate
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from agents.evaluation.sentence import Choice, Sentence, Step
from agents.reporting.page import Html, element, join
from textgen_env.terminal import visible

LIKELY, DOUBTFUL = 0.5, 0.1  # the teacher's probability from which the terminal shows green, yellow; red below


def drawing(sentence: Sentence, run: str) -> Group:
    """For any width and any number of colours: without colours ``‹taken≠teacher's›`` shows where they part."""
    texts = Table.grid(padding=(0, 2))
    texts.add_column(style="dim", no_wrap=True)
    texts.add_column(overflow="fold")
    sentence = _visible(sentence)
    texts.add_row("run", Text(visible(f"{run}, {sentence.split} {sentence.index}")))
    for name in ("source", "reference", "teacher"):
        texts.add_row(name, Text(getattr(sentence, name)))
    texts.add_row("student", coloured(sentence.steps))
    table = Table("", "student", "p", "the teacher's five likeliest", box=None, padding=(0, 2, 0, 0))
    for number, step in enumerate(sentence.steps, start=1):
        best, *others = (f"{choice.token} {probability(choice.probability)}" for choice in step.teacher)
        choices = Text(best, style="bold").append("  ·  ".join(["", *others]), style="not bold")
        mark = "≠ " if step.diverges else "  "
        table.add_row(str(number), Text(mark + step.token, style=style(step)), probability(step.teacher_probability), choices)
    return Group(texts, "", summary(sentence), "", table)


def coloured(steps: Sequence[Step]) -> Text:
    """The student's text, by the probability that the teacher gives each token."""
    text = Text()
    for step in steps:
        blank, word = split_blank(step)
        text.append(blank).append(f"‹{word}≠{step.teacher[0].token}›" if step.diverges else word, style=style(step))
    return text


def style(step: Step) -> str:
    """Rich's style of a token."""
    colour = "green" if step.teacher_probability >= LIKELY else "yellow" if step.teacher_probability >= DOUBTFUL else "red"
    return f"bold {colour}" if step.diverges else colour


def summary(sentence: Sentence) -> str:
    """Where they part, in words."""
    apart = [number for number, step in enumerate(sentence.steps, start=1) if step.diverges]
    if not apart:
        return "At every prefix the teacher would have written the student's token."
    return f"They part at {len(apart)} of {len(sentence.steps)} tokens, first at token {apart[0]}."


def probability(value: float) -> str:
    """``0.83``, ``0.004``, ``<0.001``."""
    return f"{value:.2f}" if value >= 0.01 else f"{value:.3f}" if value >= 0.001 else "<0.001"


def page(sentence: Sentence, run: str) -> str:
    """The same as one self-contained page: all steps are in it, a script of its own shows one at a time."""
    report, own = (
        files("agents.reporting").joinpath(f"{name}_template.html").read_text("utf-8") for name in ("report", "sentence")
    )
    style, script = (re.search(pattern, text, re.DOTALL) for pattern, text in ((STYLE, report), (SCRIPT, own)))
    assert style is not None
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    before = accumulate((step.piece for step in sentence.steps), initial="")
    parts = {
        "title": f"Sentence {sentence.index} of {sentence.split}",
        "run": run,
        "style": Html(style[1]),
        "digest": digest,
        "texts": join(
            [
                element(
                    "div", element("dt", name.capitalize()), element("dd", getattr(sentence, name), dir="auto"), class_=name
                )
                for name in ("source", "reference", "teacher", "student")
            ]
        ),
        "summary": summary(sentence),
        "tokens": join([token_link(number, step) for number, step in enumerate(sentence.steps, start=1)]),
        "steps": join(
            [
                step_section(number, len(sentence.steps), text, step)
                for number, (text, step) in enumerate(zip(before, sentence.steps, strict=False), start=1)
            ]
        ),
    }
    return string.Template(own).substitute({name: join([part]) for name, part in parts.items()})


def _visible(sentence: Sentence) -> Sentence:
    """The same with every control character as its escape."""

    def choices(best: Sequence[Choice]) -> list[Choice]:
        return [choice._replace(token=visible(choice.token)) for choice in best]

    steps = [
        step._replace(
            token=visible(step.token),
            piece=visible(step.piece),
            teacher=choices(step.teacher),
            student=choices(step.student),
        )
        for step in sentence.steps
    ]
    texts: dict[str, Any] = {name: visible(getattr(sentence, name)) for name in ("source", "reference", "teacher", "student")}
    return replace(sentence, **texts, steps=steps)


STYLE, SCRIPT = "<style>\n(.*?)</style>", "<script>(.*?)</script>"


def token_link(number: int, step: Step) -> Html:
    """A token of the student's text, coloured, that leads to its step."""
    said = f"{step.token}, token {number}, teacher’s probability {probability(step.teacher_probability)}"
    blank, word = split_blank(step)
    link = element(
        "a",
        word,
        href=f"#step-{number}",
        class_="parts" if step.diverges else "agrees",
        style=f"--p:{step.teacher_probability:.3f}",
        aria_label=f"{said}, they part" if step.diverges else said,
    )
    return join([blank, link])


def step_section(number: int, count: int, before: str, step: Step) -> Html:
    """One step: what was written before, what the student writes now, and both sides' likeliest tokens."""
    blank, word = split_blank(step)
    verdict = (
        f"They part: the teacher would write {step.teacher[0].token}." if step.diverges else "The teacher would write it too."
    )
    sides = probability(step.teacher_probability), probability(step.student_probability)
    odds = f" To {step.token} the teacher gives {sides[0]}, the student {sides[1]}."
    return element(
        "section",
        element("h2", f"Token {number} of {count}: {step.token}"),
        element(
            "p",
            element("span", before or "(nothing yet)", class_="before"),
            blank or "\u200b",
            element("strong", word),
            dir="auto",
        ),
        element("p", element("strong", verdict), odds),
        element("div", choices("Teacher", step.teacher, step), choices("Student", step.student, step), class_="sides"),
        id=f"step-{number}",
        class_="step parts" if step.diverges else "step",
    )


def choices(side: str, best: Sequence[Choice], step: Step) -> Html:
    """One side's likeliest tokens with a bar each, and the token that the student wrote, wherever it stands."""
    shown = [(place, *choice) for place, choice in enumerate(best, start=1)]
    if step.token not in [choice.token for choice in best]:
        shown.append((step.teacher_rank, step.token, step.teacher_probability))
    rows = [
        element(
            "tr",
            element("td", str(place)),
            element("th", token, scope="row"),
            element("td", element("span", class_="bar", style=f"width:{100 * chance:.1f}%"), class_="bars"),
            element("td", probability(chance)),
            class_="written" if token == step.token else "other",
        )
        for place, token, chance in shown
    ]
    return element(
        "table", element("caption", f"{side}’s likeliest"), element("tbody", *rows), class_=f"choices {side.lower()}"
    )


def split_blank(step: Step) -> tuple[str, str]:
    """The blank before a piece, if any, and what is to be seen of it."""
    word = step.piece.strip()
    return step.piece[: len(step.piece) - len(step.piece.lstrip())], word or step.token
