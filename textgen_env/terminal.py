"""Text that comes from a file, a model or a path, made safe to show: no control character reaches a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

# C0 and C1 controls, DEL, line and paragraph separators, bidirectional embeddings, overrides and isolates, surrogates.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NOT_IN_JSON = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str, keep: str = "") -> str:
    r"""``text`` with every control character as its escape: ``\x1b`` for ESC, ``\u202e`` for a right-to-left override.

    Args:
        text: any text.
        keep: control characters that stay, such as ``"\n"`` where the text has several lines.

    Returns:
        Text that moves no cursor, changes no color and reverses no direction; the same text where it has no controls.
    """
    return _CONTROL.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


def safe_json(text: str) -> str:
    r"""The JSON ``text`` with the controls that JSON allows unescaped (C1, bidirectional) as ``\uXXXX``: the same value."""
    return _NOT_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class Terminal(Console):
    """A rich console for text of any origin: control characters are shown as escapes, square brackets are no markup."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"markup": False, "highlight": False, "emoji": False, **settings})

    def render_str(self, text: str, **settings: Any) -> Text:
        return super().render_str(visible(text, "\n"), **settings)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text, "\n"))


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


console = Terminal(stderr=True)  # the one place for messages to the user
