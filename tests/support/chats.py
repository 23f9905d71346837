"""Small conversations, and the files that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONTEXT = [{"role": "system", "content": "Be brief."}]


def exchange(question: str, answer: str) -> list[dict[str, str]]:
    """A message of the user and its answer."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def conversation(number: int, turns: int = 1) -> list[dict[str, str]]:
    """``turns`` exchanges about the cat and the dog, different for each number."""
    return [
        message
        for turn in range(turns)
        for message in exchange(f"the cat {number} sees {turn} ?", f"the dog {turn} .")
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def chats(count: int = 30, turns: int = 1) -> list[dict[str, Any]]:
    """Rows with ``messages``."""
    return [{"messages": conversation(number, turns)} for number in range(count)]
