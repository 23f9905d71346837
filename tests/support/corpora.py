"""Small corpora in files, as users and releases have them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from textgen_env.data.columns import Columns
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.local import read_local
from textgen_env.errors import UserError

SENTENCES = {"train": ["ein haus .", "der see ."], "valid": ["ein see ."], "test": ["das haus ."]}
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def error_message(call: Callable, *args, **kwargs) -> str:
    """The message of the UserError that ``call`` raises: one line without control characters."""
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert message
    assert not CONTROL.search(message)
    return message


def read_folder(
    folder: Path, source: str, target: str, unescape: bool = False, tedx: bool | None = None
) -> Corpus:
    """The user's text as the translation tasks read it."""
    return read_local(folder, Columns((source,), (target,), unescape), tedx)


def read_summaries(place: Path) -> Corpus:
    """The user's text as the summarization tasks read it."""
    return read_local(place, Columns())


def make_corpus(**splits: list[str]) -> Corpus:
    """A corpus whose references equal its sources."""
    pairs = {name: Pairs(texts, [(text,) for text in texts]) for name, texts in splits.items()}
    return Corpus("c", "local", "here", pairs)


def write_text(path: Path, data: bytes) -> None:
    """Write ``data``, compressed if the path ends in ``.gz``."""
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_parallel(
    folder: Path, suffix: str = "", stems: tuple[str, ...] = ("train", "valid", "test")
) -> Path:
    """A German-English folder of ``SENTENCES``, uppercased in English."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, lines in zip(stems, SENTENCES.values(), strict=True):
        text = "".join(f"{line}\n" for line in lines)
        write_text(folder / f"{stem}.de{suffix}", text.encode())
        write_text(folder / f"{stem}.en{suffix}", text.upper().encode())
    return folder


def talk_xml(*segments: str, docid: str = "1") -> str:
    """One document of an IWSLT test set."""
    body = "\n".join(f'<seg id="{i}"> {text} </seg>' for i, text in enumerate(segments, 1))
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<mteval>\n'
    doc = f'<doc docid="{docid}" genre="lectures">\n<title>T</title>'
    return f"{head}{doc}\n{body}\n</doc></mteval>"


def write_iwslt_release(folder: Path) -> Path:
    """46 training lines with metadata between them, and two test sets of two segments."""
    folder.mkdir(exist_ok=True)
    for language in ("de", "en"):
        lines = [
            f"<url>u</url>\n<title>Titel</title>\n{language.title()} Satz {i}.\n<talkid>7</talkid>"
            for i in range(46)
        ]
        train = folder / f"train.tags.de-en.{language}"
        train.write_text("\n".join(lines) + "\n", encoding="utf-8")
        for name in ("IWSLT14.TED.tst2010", "IWSLT14.TEDX.dev2012"):
            text = talk_xml(f"{name} &amp; {language}", f"&lt;Zwei&gt; AT&T {language}")
            (folder / f"{name}.de-en.{language}.xml").write_text(text, encoding="utf-8")
    (folder / "train.en").write_text("monolingual text, to be ignored\n", encoding="utf-8")
    return folder
