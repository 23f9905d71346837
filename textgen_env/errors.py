"""A user's mistake is one clear line: what, where, and what to do.  Scripts print it and exit with code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in a command, a file or a setting; its text is the whole message."""


def unknown(kind: str, name: object, valid: Iterable[str]) -> UserError:
    """``unknown env 'IWSTL-v0'; did you mean 'IWSLT-v0'? (valid: …)``."""
    names = sorted(valid)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return UserError(f"unknown {kind} {name!r}{hint} (valid: {', '.join(names)})")
