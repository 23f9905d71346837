"""Cleans text that is read: escapes, white space, and the limit on its length."""

from __future__ import annotations

import html
import re

from textgen_env.data.files import MAX_TEXT, is_blank
from textgen_env.errors import UserError

ESCAPE = re.compile(r"&(?:amp|lt|gt|quot|apos|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});")
SURROGATE = re.compile("[\ud800-\udfff]")


def unescape_text(text: str) -> str:
    """Undo XML and Moses escapes once: ``&apos;`` → ``'``, ``&amp;lt;`` → ``&lt;``."""
    return ESCAPE.sub(lambda match: html.unescape(match[0]), text) if "&" in text else text


def normalize_spaces(text: str) -> str:
    """Replace white space by single spaces and strip the ends; blank text becomes empty."""
    text = " ".join(text.split())
    return "" if is_blank(text) else text


def clean(text: str, unescape: bool, where: str) -> str:
    """Normalize the white space of ``text`` and, on request, undo its escapes.

    Raises:
        UserError: The tokenizer would fail on the text. The message begins with ``where``.
    """
    text = normalize_spaces(unescape_text(text) if unescape else text)
    if problem := text_problem(text):
        raise UserError(f"{where}: {problem}")
    return text


def text_problem(text: object) -> str:
    """Why the tokenizer would fail on ``text``, or need minutes for it; empty for a good text."""
    if not isinstance(text, str):
        return f"expected a string, got {type(text).__name__}"
    if len(text) > MAX_TEXT:
        return f"text of {len(text):,} characters, at most {MAX_TEXT:,}; split or delete it"
    if not text.isascii() and SURROGATE.search(text):
        return "unpaired surrogate (half a character, such as \\ud800); complete it"
    return ""
