"""One sentence, step by step, in the terminal and as a page of its own that one steps through with the arrow keys."""

from __future__ import annotations

import base64
import hashlib
from itertools import accumulate

from rich.console import Group
from rich.table import Table
from rich.text import Text

from agents.evaluation.sentence import Choice, Sentence, Step
from agents.reporting.pages import FOLDER, render
from textgen_env.terminal import visible

GREEN, YELLOW = 0.5, 0.1  # in the terminal, from this probability of the teacher on; red below


def drawing(sentence: Sentence, run: str) -> Group:
    """For any width and any number of colors: ``‹student's≠teacher's›`` shows where they diverge."""
    texts = Table.grid(padding=(0, 2))
    texts.add_column(style="dim", no_wrap=True)
    texts.add_column(overflow="fold")
    texts.add_row("run", Text(visible(f"{run}, {sentence.split} {sentence.index}")))
    for name in ("source", "reference", "teacher"):
        texts.add_row(name, Text(visible(getattr(sentence, name))))
    student = Text()
    table = Table(
        "", "student", "p", "the teacher's five most likely", box=None, padding=(0, 2, 0, 0)
    )
    for number, step in enumerate(sentence.steps, start=1):
        (blank, word), (best, *others) = split_blank(step), map(_choice, step.teacher.best)
        teacher = visible(step.teacher.best[0].token)
        student.append(blank).append(
            f"‹{word}≠{teacher}›" if step.diverges else word, style=_style(step)
        )
        choices = Text(best, style="bold").append("  ·  ".join(["", *others]), style="not bold")
        token = Text(("≠ " if step.diverges else "  ") + visible(step.token), style=_style(step))
        table.add_row(str(number), token, probability(step.teacher.probability), choices)
    texts.add_row("student", student)
    return Group(texts, "", summary(sentence), "", table)


def _choice(choice: Choice) -> str:
    return f"{visible(choice.token)} {probability(choice.probability)}"


def _style(step: Step) -> str:
    """Rich's style of a token, by the probability that the teacher gives it."""
    chance = step.teacher.probability
    color = "green" if chance >= GREEN else "yellow" if chance >= YELLOW else "red"
    return f"bold {color}" if step.diverges else color


def summary(sentence: Sentence) -> str:
    """Where they diverge, in words."""
    diverging = [number for number, step in enumerate(sentence.steps, start=1) if step.diverges]
    if not diverging:
        return "At every prefix the student's token is the teacher's choice."
    return f"They diverge at {len(diverging)} of {len(sentence.steps)} tokens, first at token {diverging[0]}."


def probability(value: float) -> str:
    """``0.83``, ``0.004``, ``<0.001``."""
    return f"{value:.2f}" if value >= 0.01 else f"{value:.3f}" if value >= 0.001 else "<0.001"


def page(sentence: Sentence, run: str) -> str:
    """The same as one self-contained page: all steps are in it, a script of its own shows one at a time."""
    script = (FOLDER / "sentence.js").read_text(encoding="utf-8")
    before = accumulate((step.piece for step in sentence.steps), initial="")
    values = {
        "title": f"Sentence {sentence.index} of {sentence.split}",
        "run": run,
        "sentence": sentence,
        "summary": summary(sentence),
        "steps": [
            (step, text, *split_blank(step))
            for step, text in zip(sentence.steps, before, strict=False)
        ],
        "probability": probability,
        "script": script,
        "digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return render("sentence.html.jinja", values)


def split_blank(step: Step) -> tuple[str, str]:
    """The blank before a piece, if any, and the visible rest."""
    word = step.piece.strip()
    blank = step.piece[: len(step.piece) - len(step.piece.lstrip())]
    return visible(blank), visible(word or step.token)
