"""What the ``load`` of a task reads: every split, unless a model is only to be scored on one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from textgen_env.data.corpus import SPLITS


class Scope(NamedTuple):
    """What a task reads, and with which tokens.

    Args:
        splits: The splits to read.
        vocabulary: The ``Vocabulary`` to use instead of training one on the corpus.
        template: The ``ChatTemplate`` of that vocabulary, for conversations.
        teacher_prompt: The column of the prompts that only the teacher sees.
        downloads: Whether datasets and models may be downloaded.
    """

    splits: tuple[str, ...] = SPLITS
    vocabulary: Any = None  # its module imports this one
    template: Any = None
    teacher_prompt: str | None = None
    downloads: bool = True


_scope: ContextVar[Scope | None] = ContextVar("scope", default=None)


@contextmanager
def scoped(**changes: Any) -> Iterator[None]:
    """Change fields of the scope in this block."""
    token = _scope.set(current_scope()._replace(**changes))
    try:
        yield
    finally:
        _scope.reset(token)


def only_split(split: str, vocabulary: Any, template: Any = None) -> AbstractContextManager[None]:
    """In this block, tasks load with ``split`` alone, so the training text may be missing.

    Args:
        split: ``train``, ``valid`` or ``test``.
        vocabulary: The ``Vocabulary`` of the model to score; none is trained.
        template: Its ``ChatTemplate``, if it has one.
    """
    return scoped(splits=(split,), vocabulary=vocabulary, template=template)


def local_only() -> AbstractContextManager[None]:
    """Forbid downloads in this block, because an untrusted run folder may name any dataset."""
    return scoped(downloads=False)


def current_scope() -> Scope:
    """The scope of the innermost block; outside of one, every split."""
    return _scope.get() or Scope()
