"""Parallel text as it is released: IWSLT's XML and WMT's files."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from textgen_env.data.corpus import SPLITS, Corpus, Pairs, Preprocessing
from textgen_env.data.files import stream_lines
from textgen_env.data.folders import STEMS, find_file
from textgen_env.data.parallel import check_sizes, read_aligned
from textgen_env.data.scope import current_scope
from textgen_env.data.text import clean
from textgen_env.errors import UserError, unknown

HOLD_OUT = 23  # every 23rd training pair is for validation, as usual for IWSLT14 (4 %)
_METADATA = re.compile(
    r"\s*</?(?:url|speaker|talkid|title|description|keywords|reviewer|translator|doc|transcript)"
    r"\b[^>]*>"
)
_TAG = re.compile(r"<(doc|seg)\b([^<>]*)>|</seg>")
_ID = re.compile(r'\b(?:doc)?id="([^"<>]*)"')

Row = tuple[str, str]  # source, target


def read_wmt(folder: Path, source: str, target: str, unescape: bool = False) -> Corpus:
    """Read a WMT release: files ``STEM.{source,target}``, plain or ``.gz``.

    The last ``newstest`` is the test split and the one before it the validation split; if there is
    only one, every 23rd training pair is for validation. All other files are training text. Pairs
    with an empty side are left out and counted.

    Args:
        folder: Folder of the files.
        source: Suffix of the source files.
        target: Suffix of the target files.
        unescape: Whether to undo Moses escapes.

    Raises:
        UserError: A file is missing, occurs in two forms, or is not aligned.
    """
    names = {path.name.removesuffix(".gz") for path in folder.iterdir()}
    stems = sorted(name.removesuffix(f".{source}") for name in names if name.endswith(f".{source}"))
    for stem, other in combinations(stems, 2):
        if other.startswith(f"{stem}."):
            raise UserError(
                f"{folder} has {stem}.{source} and {other}.{source}, "
                "which look like the same text; keep one"
            )
    for stem in stems:
        if stem in (*STEMS["valid"], *STEMS["test"]):
            raise UserError(
                f"{folder} has {stem}.{source} and newstest*, which is the test split; remove one"
            )
    news = [stem for stem in stems if stem.startswith("newstest")]
    training = [stem for stem in stems if not stem.startswith("newstest")]
    only_test = current_scope().splits == ("test",)
    if not news or not (training or only_test):
        missing = "training text" if news else f"newstest*.{source}"
        raise UserError(
            f"{folder} has no {missing}; a WMT release has newstest*.{{{source},{target}}} and "
            "training text"
        )

    def rows(stem: str) -> list[Row]:
        paths = [find_file(folder, f"{stem}.{language}") for language in (source, target)]
        return list(zip(*read_aligned(paths, unescape), strict=True))

    train: list[Row] = []
    valid: list[Row] = []
    origin = f"{folder}, "
    if not only_test:
        train = [row for stem in training for row in rows(stem)]
        train, valid = (train, rows(news[-2])) if len(news) > 1 else _hold_out(train)
        held_out = news[-2] if len(news) > 1 else f"every {HOLD_OUT}rd training pair"
        origin += f"train = {' + '.join(training)}, valid = {held_out}, "
    origin += f"test = {news[-1]}"
    corpus = _without_empty(folder.resolve().name, origin, train, valid, rows(news[-1]))
    return replace(corpus, preprocessing=Preprocessing(unescape))


def read_iwslt_xml(folder: Path, source: str, target: str, tedx: bool = True) -> Corpus:
    """Read an IWSLT release: ``train.tags.de-en.{de,en}`` and ``*.de-en.{de,en}.xml``.

    All XML files together are the test split. In the 2014 release they are dev2010 and tst2010-2012
    (5,585 pairs), and TEDX.dev2012 (6,750 in all). Every 23rd training pair is for validation.
    Pairs with an empty side are left out and counted. XML escapes are undone; text stays cased and
    untokenized.

    Args:
        folder: Folder of the files.
        source: Source language.
        target: Target language.
        tedx: Whether to include the ``TEDX`` files.

    Raises:
        UserError: A file is missing, malformed or not aligned.
    """
    pairs = (f"{source}-{target}", f"{target}-{source}")
    pair = next((pair for pair in pairs if any(folder.glob(f"*.{pair}.*"))), None)
    if pair is None:
        matches = (re.search(r"\.([a-z]+-[a-z]+)\.", path.name) for path in folder.iterdir())
        existing = {match[1] for match in matches if match}
        raise unknown(f"language pair in {folder},", pairs[0], existing)
    train: list[Row] = []
    valid: list[Row] = []
    if current_scope().splits != ("test",):
        train, valid = _hold_out(_read_tagged_pair(folder, pair, source, target))
    names = sorted({path.name.split(f".{pair}.")[0] for path in folder.glob(f"*.{pair}.*.xml*")})
    used = [name for name in names if tedx or ".TEDX." not in name]
    if not used:
        raise UserError(
            f"{folder} has no test XML; add files such as IWSLT14.TED.tst2010.{pair}.{source}.xml"
        )
    test: list[Row] = []
    for name in used:
        paths = [
            find_file(folder, f"{name}.{pair}.{language}.xml") for language in (source, target)
        ]
        test += _aligned_segments(paths, _read_segments)
    excluded = "".join(f", without {name}" for name in names if name not in used)
    origin = f"{folder}, test = {' + '.join(used)}{excluded}"
    corpus = _without_empty(folder.resolve().name, origin, train, valid, test)
    return replace(corpus, preprocessing=Preprocessing(unescape=True))


def _read_tagged_pair(folder: Path, pair: str, source: str, target: str) -> list[Row]:
    """Read the training text of an IWSLT release."""
    if not any(folder.glob(f"train.tags.{pair}.*")):
        raise UserError(
            f"{folder} has dev and test XML but no training text; add train.tags.{pair}.{source} "
            f"and train.tags.{pair}.{target} of the same release"
        )
    paths = [find_file(folder, f"train.tags.{pair}.{language}") for language in (source, target)]
    return _aligned_segments(paths, _read_tagged)


Segment = tuple[str, str, int]  # id, sentence, line number


def _aligned_segments(paths: list[Path], read: Callable[[Path], list[Segment]]) -> list[Row]:
    """Read a source and a target file and align their segments, whose ids must agree."""
    sources, targets = map(read, paths)
    for (source_id, _, line), (target_id, _, _) in zip(sources, targets, strict=False):
        if source_id != target_id:
            raise UserError(
                f"{paths[0]}:{line}: segment {source_id} is aligned with segment {target_id} of "
                f"{paths[1].name}; make the ids of both files agree"
            )
    check_sizes(paths, len(sources), len(targets))
    return [
        (source, target) for (_, source, _), (_, target, _) in zip(sources, targets, strict=True)
    ]


def _read_tagged(path: Path) -> list[Segment]:
    """Read a ``train.tags`` file without its lines of metadata."""
    return [
        ("", clean(line, True, f"{path}:{number}"), number)
        for number, line in enumerate(stream_lines(path), start=1)
        if not _METADATA.match(line)
    ]


def _read_segments(path: Path) -> list[Segment]:
    """Read an XML file.

    It is scanned, not parsed: entities are never expanded or fetched, and a bare ``&``, which some
    releases have, is no error.
    """
    text, document, segments = "\n".join(stream_lines(path)), "", []
    open_tag: re.Match[str] | None = None
    line, open_line, scanned = 1, 1, 0
    for tag in _TAG.finditer(text):
        line, scanned = line + text.count("\n", scanned, tag.start()), tag.start()
        if tag[1] == "seg":
            if open_tag is not None:
                raise UserError(f"{path}:{open_line}: <seg id={_id(open_tag)!r}> is not closed")
            open_tag, open_line = tag, line
        elif tag[1] == "doc":
            document = _id(tag)
        elif open_tag is not None:
            sentence = clean(text[open_tag.end() : tag.start()], True, f"{path}:{open_line}")
            segments.append((f"{document}/{_id(open_tag)}", sentence, open_line))
            open_tag = None
    if open_tag is not None or not segments:
        count = len(segments) + (open_tag is not None)
        raise UserError(
            f"{path}: {count} <seg> tags but {len(segments)} complete segments; copy the file again"
        )
    return segments


def _id(tag: re.Match[str]) -> str:
    """The attribute ``id`` or ``docid`` of a start tag."""
    match = _ID.search(tag[2])
    return match[1] if match else ""


def _hold_out(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Split rows into (training, validation)."""
    if len(rows) < HOLD_OUT:
        raise UserError(
            f"{len(rows)} training pairs are too few to hold out every {HOLD_OUT}rd for "
            f"validation; give at least {HOLD_OUT}"
        )
    return [row for i, row in enumerate(rows, 1) if i % HOLD_OUT], rows[HOLD_OUT - 1 :: HOLD_OUT]


def _without_empty(name: str, origin: str, *splits: list[Row]) -> Corpus:
    """Build a local corpus without pairs that have an empty side; a note gives their number."""
    complete = [[row for row in rows if all(row)] for rows in splits]
    empty = sum(map(len, splits)) - sum(map(len, complete))
    pairs = [
        Pairs([source for source, _ in rows], [(target,) for _, target in rows])
        for rows in complete
    ]
    notes = (f"note: {empty:,} pairs with an empty side were left out",) if empty else ()
    wanted = current_scope().splits
    named = {split: rows for split, rows in zip(SPLITS, pairs, strict=True) if split in wanted}
    return Corpus(name, "local", origin, named, notes)
