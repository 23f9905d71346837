"""The columns of a table that hold the sources and their references."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from textgen_env.data.folders import did_you_mean
from textgen_env.data.text import clean
from textgen_env.errors import UserError

DOCUMENT = ("document", "dialogue", "article", "text", "source")
SUMMARY = ("summary", "highlights", "target")
NESTED = "translation"  # a column of datasets on the hub: one text per language
SPLIT = "split"


@dataclass(frozen=True)
class Columns:
    """Which columns have the texts. Of several names, the first one that a row has is used.

    A name is looked up in the column ``translation`` if there is one with several texts. Numbers,
    counted from 1, are for a file without a header.

    Args:
        source: Names of the column of the sources.
        target: Names of the column of the references, of which the first is the training target.
            The column has a text or a list of texts. ``summary`` also stands for the columns
            ``summary1``, ``summary2``, … and ``a+b`` for the columns ``a`` and ``b``.
        unescape: Whether to undo Moses escapes (``&apos;`` → ``'``).
    """

    header_hint: ClassVar[str] = (
        "; if the first line is no header, number them: env.source=1 env.target=2"
    )
    source: tuple[str, ...] = DOCUMENT
    target: tuple[str, ...] = SUMMARY
    unescape: bool = False

    @property
    def are_numbers(self) -> bool:
        """Whether the columns are numbers, as for a file without a header."""
        return all(name.replace("+", "").isdecimal() for name in (*self.source, *self.target))

    def needed(self, names: Collection[str], where: str) -> list[str]:
        """The columns to read of a table with these ``names``."""
        check_unique(names, where)
        if self._are_nested(names):
            return [name for name in (NESTED, SPLIT) if name in names]
        source, targets = self._select(names, where)
        wanted = {source, *targets, SPLIT}
        return [name for name in names if name in wanted]

    def texts(
        self, row: dict[str, Any], where: str, required: bool = True
    ) -> tuple[str, tuple[str, ...]]:
        """The source and the references of a row, with white space normalized.

        Args:
            row: Its values by column; null is an empty text.
            where: Its place, for error messages.
            required: Whether an empty text is an error.

        Raises:
            UserError: A column is missing, or a value is not text.
        """
        if isinstance(row.get(NESTED), dict) and self._are_nested(row):
            row = row[NESTED]
        source, targets = self._select(row, where)
        references = [(name, row[name]) for name in targets]
        if len(targets) == 1 and isinstance(row[targets[0]], list):
            references = [(targets[0], text) for text in row[targets[0]]]
        if not references or not all(isinstance(text, str | None) for _, text in references):
            value = _excerpt(row[targets[0]] if len(targets) == 1 else [v for _, v in references])
            raise UserError(
                f"{where}: {targets[0]} must be a string or a list of strings, got {value}"
            )
        if not isinstance(row[source], str | None):
            raise UserError(f"{where}: {source} must be a string, got {_excerpt(row[source])}")
        return (
            self._text(row[source], f"{where}: {source}", required),
            tuple(self._text(text, f"{where}: {name}", required) for name, text in references),
        )

    def _are_nested(self, names: Collection[str]) -> bool:
        return NESTED in names and not any(name in names for name in self.source)

    def _text(self, text: str | None, where: str, required: bool) -> str:
        text = clean(text or "", self.unescape, where)
        if required and not text:
            raise UserError(f"{where} is empty; delete the row, or add the text")
        return text

    def _select(self, names: Collection[str], where: str) -> tuple[str, list[str]]:
        """The column of the sources and those of the references."""
        source = next((name for name in self.source if name in names), None)
        if source is None:
            raise _missing(self.source, names, where)
        for name in self.target:
            if name in names:
                return source, [name]
            if f"{name}1" in names:
                return source, _numbered(name, names, where)
            if "+" in name:
                targets = name.split("+")
                for target in targets:
                    if target not in names:
                        raise _missing([target], names, where)
                return source, targets
        raise _missing(self.target, names, where)


def summary_columns(source: str | None, target: str | None) -> Columns:
    """The columns of documents and summaries; the usual names if None."""
    return Columns((source,) if source else DOCUMENT, (target,) if target else SUMMARY)


def check_unique(names: Collection[str], where: str) -> None:
    """Raise UserError if two columns have the same name."""
    duplicate = next((name for name in names if list(names).count(name) > 1), None)
    if duplicate is not None:
        raise UserError(f"{where}: two columns are named {duplicate!r}; rename one")


def _missing(wanted: Collection[str], names: Collection[str], where: str) -> UserError:
    """The error for a column that a table does not have."""
    first, *others = wanted
    alternatives = f" (or {', '.join(others)})" if others else ""
    shown = ", ".join(name[:40] for name in list(names)[:12]) + (", …" if len(names) > 12 else "")
    return UserError(
        f"{where}: no column {first}{alternatives}{did_you_mean(first, names)} (its columns: "
        f"{shown or 'none'}); name them with env.source= and env.target="
    )


def _numbered(name: str, names: Collection[str], where: str) -> list[str]:
    """``summary1``, ``summary2``, … up to the first missing number."""
    missing = next(number for number in range(1, len(names) + 2) if f"{name}{number}" not in names)
    for other in names:
        suffix = other.removeprefix(name)
        if suffix.isdecimal() and int(suffix) > missing:
            raise UserError(f"{where}: {other} without {name}{missing}; number them without gaps")
    return [f"{name}{number}" for number in range(1, missing)]


def _excerpt(value: Any) -> str:
    """The beginning of ``value`` as JSON, or its type."""
    try:
        return json.dumps(value)[:40]
    except RecursionError:  # parsing just fit into the recursion limit
        return "deeply nested lists"
    except TypeError:
        return type(value).__name__
