"""Parameters of a test whose cases are of one kind and cost a run each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest


def others_slow(cases: Mapping[str, Any] | Iterable[Any], *default: str) -> list[Any]:
    """The cases as parameters; the default run has only one or a few, the slow run has the others.

    Args:
        cases: Cases by id, or the ids alone, which then are the values. A tuple is several values.
        default: The ids in the default run; if none is given, the first.
    """
    named = dict(cases) if isinstance(cases, Mapping) else {name: name for name in cases}
    assert {*default} <= {*named}
    kept = default or (next(iter(named)),)
    return [
        pytest.param(
            *(values if isinstance(values, tuple) else (values,)),
            id=name,
            marks=() if name in kept else pytest.mark.slow,
        )
        for name, values in named.items()
    ]
