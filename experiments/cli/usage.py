"""The text of ``--help``: all keys with defaults and meanings, and the choices of all groups."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from functools import partial
from typing import Any

from cli.composing import choices_of, show
from cli.schema import config_of, keys, options

WIDTH, COLUMN = 80, 26
NOTES = {"exact": "the exact expert of a task that has one"}


def text(command: str, given: dict[str, Any]) -> str:
    """The help of ``command``, with the keys of the choices in ``given``."""
    _, choices = choices_of(command, given)
    doc = (inspect.getdoc(config_of(command)) or "").partition("\n\nArgs:")[0]
    lines = [f"python experiments/{command}.py [key=value …]", "", *_paragraphs(doc), ""]
    for group in choices:
        lines.append(f"{group}=NAME, one of:")
        for name, function in options(group).items():
            lines += _line(name, function)
        lines.append("")
    lines.append("Keys and their defaults, for these choices:" if choices else "Keys and defaults:")
    lines += [f"  {group}={name}" for group, name in choices.items()]
    for key, known in keys(command, choices).items():
        default = str(given[key]) if key in given else show(known.default)
        lines += _entry(f"{key}={default}", known.meaning)
    lines += ["", *_paragraphs(HYDRA)]
    return "\n".join(lines)


HYDRA = """Text with special characters needs quotes for Hydra, inside those for the shell:
'out="a=b"'.

Hydra's own options: --multirun seed=0,1 runs a sweep, hydra/launcher=joblib runs its jobs in
parallel, --cfg job prints the configuration; --hydra-help lists all of them."""


def _paragraphs(text: str) -> list[str]:
    paragraphs = text.split("\n\n")
    return "\n\n".join(textwrap.fill(paragraph, WIDTH) for paragraph in paragraphs).split("\n")


def _entry(head: str, meaning: str) -> list[str]:
    body = textwrap.wrap(meaning, WIDTH - COLUMN)
    indented = [" " * COLUMN + line for line in body]
    if len(head) + 4 > COLUMN:
        return [f"  {head}", *indented]
    return [f"  {head:<{COLUMN - 2}}{body[0] if body else ''}", *indented[1:]]


def _line(name: str, function: Callable[..., Any] | None) -> list[str]:
    """The first line of a choice's docstring, and the settings that the name implies."""
    if function is None:
        return _entry(name, NOTES[name])
    called, fixed = (
        (function.func, function.keywords) if isinstance(function, partial) else (function, {})
    )
    summary = (inspect.getdoc(called) or "").partition("\n")[0].rstrip(".").replace("``", "")
    settings = ", ".join(f"{key}={show(value)}" for key, value in fixed.items())
    return _entry(name, f"{summary} ({settings})" if settings else summary)
