"""One sentence step by step, in the terminal and as a page with arrow-key navigation."""

from __future__ import annotations

import base64
import hashlib
from itertools import accumulate

from rich.console import Group
from rich.table import Table
from rich.text import Text

from agents.evaluation.sentence import Choice, Sentence, Step
from agents.reporting.pages import FOLDER, render
from textgen_env.terminal import escape_controls

GREEN, YELLOW = 0.5, 0.1  # lowest teacher probability of a green and a yellow token; red below


def terminal_view(sentence: Sentence, run: str) -> Group:
    """The texts and a table of the steps; ``‹student's≠teacher's›`` marks a divergence."""
    texts = Table.grid(padding=(0, 2))
    texts.add_column(style="dim", no_wrap=True)
    texts.add_column(overflow="fold")
    texts.add_row("run", Text(escape_controls(f"{run}, {sentence.split} {sentence.index}")))
    for name in ("source", "reference", "teacher"):
        texts.add_row(name, Text(escape_controls(getattr(sentence, name))))
    student = Text()
    headings = ("", "student", "p", "the teacher's five most likely")
    table = Table(*headings, box=None, padding=(0, 2, 0, 0))
    for number, step in enumerate(sentence.steps, start=1):
        (blank, word), (best, *others) = split_blank(step), map(_choice, step.teacher.best)
        teacher = escape_controls(step.teacher.best[0].token)
        word = f"‹{word}≠{teacher}›" if step.diverges else word
        student.append(blank).append(word, style=_style(step))
        choices = Text(best, style="bold").append("  ·  ".join(["", *others]), style="not bold")
        token = Text(
            ("≠ " if step.diverges else "  ") + escape_controls(step.token), style=_style(step)
        )
        table.add_row(str(number), token, format_probability(step.teacher.probability), choices)
    texts.add_row("student", student)
    return Group(texts, "", summary(sentence), "", table)


def _choice(choice: Choice) -> str:
    return f"{escape_controls(choice.token)} {format_probability(choice.probability)}"


def _style(step: Step) -> str:
    """Rich's style of a token, from its probability under the teacher."""
    p = step.teacher.probability
    color = "green" if p >= GREEN else "yellow" if p >= YELLOW else "red"
    return f"bold {color}" if step.diverges else color


def summary(sentence: Sentence) -> str:
    """One sentence on where student and teacher diverge."""
    diverging = [number for number, step in enumerate(sentence.steps, start=1) if step.diverges]
    if not diverging:
        return "They never diverge: each of the student's tokens is the teacher's most likely."
    count, total = len(diverging), len(sentence.steps)
    return f"They diverge at {count} of {total} tokens, first at token {diverging[0]}."


def format_probability(value: float) -> str:
    """``0.83``, ``0.004``, ``<0.001``."""
    return f"{value:.2f}" if value >= 0.01 else f"{value:.3f}" if value >= 0.001 else "<0.001"


def html_page(sentence: Sentence, run: str) -> str:
    """A self-contained page that shows one step at a time; without JavaScript, all of them."""
    script = (FOLDER / "sentence.js").read_text(encoding="utf-8")
    prefixes = accumulate((step.piece for step in sentence.steps), initial="")
    values = {
        "title": f"Sentence {sentence.index} of {sentence.split}",
        "run": run,
        "sentence": sentence,
        "summary": summary(sentence),
        "steps": [
            (step, prefix, *split_blank(step))
            for step, prefix in zip(sentence.steps, prefixes, strict=False)
        ],
        "format_probability": format_probability,
        "script": script,
        "digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return render("sentence.html.jinja", values)


def split_blank(step: Step) -> tuple[str, str]:
    """The leading whitespace of a step's text, and the rest; for empty text, the token's name."""
    word = step.piece.strip()
    blank = step.piece[: len(step.piece) - len(step.piece.lstrip())]
    return escape_controls(blank), escape_controls(word or step.token)
