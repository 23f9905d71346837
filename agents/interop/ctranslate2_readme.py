"""The README.md of an exported model: a script that generates as the run does."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Any

from textgen_env.data.text import ESCAPE
from textgen_env.tasks.task import Task


def readme(template: Path, task: Task, folder: Path, quantization: str, **others: Any) -> str:
    """Fill in a template.

    Args:
        template: has a Python script.
        task: the preprocessing and the limits.
        folder: of the exported model.
        quantization: of its weights.
        others: what else the template needs.
    """
    preprocessing = task.corpus.preprocessing
    unescape = f'text = re.sub(r"{ESCAPE.pattern}", lambda match: html.unescape(match[0]), text)'
    steps = [
        (preprocessing.unescape, unescape),
        (True, 'text = " ".join(text.split())'),
        (preprocessing.split_marks, 'text = text.replace("##AT##", "").replace("@-@", "-")'),
        (preprocessing.split_marks, r'text = " ".join(re.findall(r"\w+|[^\w\s]", text))'),
        (preprocessing.lowercase, "text = text.lower()"),
    ]
    return Template(template.read_text(encoding="utf-8")).substitute(
        quantization=quantization,
        folder=repr(str(folder)),
        preprocessing=preprocessing,
        prepare="\n    ".join(line for enabled, line in steps if enabled),
        limit=task.limit.code("length"),
        max_source=task.source_limit - 1,
        horizon=task.horizon,
        **others,
    )
