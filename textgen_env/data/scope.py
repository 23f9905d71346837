"""What the ``load`` of a task reads: every split, unless a model is only to be scored on one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from textgen_env.data.corpus import SPLITS


class Scope(NamedTuple):
    """The splits to read, and the ``Vocabulary`` to use instead of training one on the corpus."""

    splits: tuple[str, ...] = SPLITS
    vocabulary: Any = None  # its module imports this one


_scope: ContextVar[Scope | None] = ContextVar("scope", default=None)


@contextmanager
def only_split(split: str, vocabulary: Any) -> Iterator[None]:
    """In this block, tasks load with ``split`` alone, so the training text may be missing.

    Args:
        split: ``train``, ``valid`` or ``test``.
        vocabulary: The ``Vocabulary`` of the model to score; none is trained.
    """
    token = _scope.set(Scope((split,), vocabulary))
    try:
        yield
    finally:
        _scope.reset(token)


def current_scope() -> Scope:
    """The scope of the innermost ``only_split``; outside of one, every split."""
    return _scope.get() or Scope()
