"""Terminal output that escapes the control characters in untrusted text (files, models, paths)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

# C0 and C1 controls, DEL, line and paragraph separators, bidirectional controls, surrogates.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NOT_IN_JSON = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escape_controls(text: str, keep: str = "") -> str:
    r"""Escape control characters: ``\x1b`` for ESC, ``\u202e`` for a right-to-left override.

    The result cannot move the cursor, change colors or reverse the direction of text.

    Args:
        text: Any text.
        keep: Control characters to leave as they are, such as ``"\n"`` for text of several lines.
    """
    return _CONTROL.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


def safe_json(text: str) -> str:
    r"""Escape as ``\uXXXX`` the controls that JSON leaves unescaped; the value is the same."""
    return _NOT_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class Terminal(Console):
    """A rich console for untrusted text: escapes control characters and does not parse markup."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"markup": False, "highlight": False, "emoji": False, **settings})

    def render_str(self, text: str, **settings: Any) -> Text:
        """Same as in ``Console``, with control characters escaped."""
        return super().render_str(escape_controls(text, "\n"), **settings)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Same as in ``Console``, with control characters escaped."""
        for segment in super().render(renderable, options):
            text = escape_controls(segment.text, "\n")
            yield segment if segment.control else segment._replace(text=text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


console = Terminal(stderr=True)  # all messages to the user go through this console
