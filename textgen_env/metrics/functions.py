"""Metrics that are functions of one output and its references: exact match, and a user's own.

A user names ``f(text, references)`` by its dotted path. It returns a percentage, or ``{name:
percentage}`` with the metric's own value first; higher is better. The corpus value is the mean over
sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from textgen_env.errors import Range, UserError
from textgen_env.imports import import_object, is_path, named

Function = Callable[[str, Sequence[str]], dict[str, float]]
PERCENT = Range(0, 100)


def exact_match(text: str, references: Sequence[str]) -> dict[str, float]:
    """100 if ``text`` equals a reference up to white space, else 0."""
    return {"accuracy": 100.0 * any(text.split() == target.split() for target in references)}


def is_path_of_metric(metric: str) -> bool:
    """Whether ``metric`` is the dotted path of a function; ``bleu:zh`` is none."""
    return is_path(metric) and not metric.startswith("bleu:")


def find_function(path: str) -> Function:
    """The metric at the dotted path, with checked values.

    Raises:
        UserError: it cannot be imported, or is not a function.
    """
    function = named().get(path) or import_object("metric", path)
    if not callable(function):
        raise UserError(f"metric {path!r} is not a function; see textgen_env.metrics.functions")
    return partial(_values, function, path)


def _values(
    function: Callable[..., Any], path: str, text: str, references: Sequence[str]
) -> dict[str, float]:
    output = function(text, references)
    values = output if isinstance(output, dict) else {path.replace(":", ".").split(".")[-1]: output}
    if not values or not all(value in PERCENT for value in values.values()):
        raise UserError(
            f"metric {path} returns {output!r}; give a number from 0 to 100, or a dict of such"
        )
    return {str(name): float(value) for name, value in values.items()}
