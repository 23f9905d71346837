"""Parses the overrides of a command line with Hydra and checks how they are written."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType, Quote, QuotedString
from hydra.errors import HydraException

from cli.schema import Key
from textgen_env.errors import UserError


def parse(words: Iterable[str]) -> list[Override]:
    """Parse overrides; UserError for one that Hydra's grammar does not allow."""
    return [override for word in words for override in _parse(word)]


def _parse(word: str) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides([word])
    except HydraException as error:
        key, equals, text = word.partition("=")
        if not equals:
            hint = "write key=value (--help lists the keys)"
        elif text.startswith(("[", "{")):
            hint = f"""quote every text in the list, such as '{key}=["a=b"]'"""
        else:
            hint = f"quote the text: {quoted(key, text)}"
        raise UserError(f"cannot parse {word!r}: {hint}") from error


def lines(overrides: Iterable[Override]) -> list[str]:
    """The overrides as they were written."""
    return [str(override.input_line) for override in overrides]


def quote(text: str) -> str:
    """``text`` in the quotes of Hydra's grammar."""
    return QuotedString(text, Quote.double).with_quotes()  # type: ignore[no-any-return]


def quoted(key: str, text: str) -> str:
    """``key=text`` for a shell, with the quotes that Hydra needs."""
    return shlex.quote(f"{key}={quote(text)}")


def is_hydras(override: Override) -> bool:
    """Whether it configures Hydra itself, such as ``hydra/launcher=joblib``."""
    return override.key_or_group.replace("/", ".").partition(".")[0] == "hydra"


def by_key(overrides: Iterable[Override]) -> dict[str, Override]:
    """The overrides of the command by key, without those of Hydra itself.

    Raises:
        UserError: One is not ``key=value``, or a key is repeated.
    """
    given: dict[str, Override] = {}
    for override in overrides:
        key, word = override.key_or_group, override.input_line
        if is_hydras(override):
            continue
        if override.type != OverrideType.CHANGE or override.package is not None:
            raise UserError(f"{word}: +, ~ and @ are for hydra.* keys only; write key=value")
        if key in given:
            times = sum(other.key_or_group == key for other in overrides)
            raise UserError(f"{key} is given {times} times; give it once")
        given[key] = override
    return given


def values(override: Override, options: Iterable[str] = ()) -> list[Any]:
    """The value, or all values of a sweep; a glob selects from ``options``."""
    value = override.value()
    if isinstance(value, Glob):
        return value.filter(list(options))  # type: ignore[no-any-return]
    if override.is_sweep_override():
        return list(override.sweep_iterator()) if override.is_discrete_sweep() else []
    return [value]


def check_text(key: str, override: Override, known: Key) -> None:
    """Refuse an empty value, and text that Hydra's grammar changes, such as 2024_01 to 202401."""
    text = (override.input_line or "").partition("=")[2]
    for value in values(override):
        entries = value if isinstance(value, list) else [value]
        if not known.empty and (not entries or any(str(entry).strip() == "" for entry in entries)):
            raise UserError(f"{key}={text}: empty; give at least one value, or leave the key out")
        if known.type not in (str, str | None, list[str]) or "\\" in text:
            continue
        for entry in entries:
            if known.type == list[str] or override.is_sweep_override():
                if entry is not None and str(entry) not in text:
                    raise UserError(f"{key}={text}: Hydra reads {entry}; quote every text in it")
            elif value is not None and str(value) != text and text.strip()[:1] not in ("'", '"'):
                raise UserError(
                    f"{key}={text}: Hydra reads {value}; quote the text: {quoted(key, text)}"
                )


def check_swept(overrides: Iterable[Override]) -> None:
    """Refuse a sweep, which needs ``--multirun``."""
    for override in overrides:
        if override.is_sweep_override():
            key, _, text = (override.input_line or "").partition("=")
            raise UserError(
                f"{key}={text} is a sweep: add --multirun, or quote the text: {quoted(key, text)}"
            )
