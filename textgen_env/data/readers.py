"""Parallel text from a folder: ``{train,valid,test}.{de,en}``, or the files that IWSLT or WMT release."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from textgen_env.data.corpus import SPLITS, Corpus, Pairs, Preprocessing
from textgen_env.data.files import MAX_TEXT, is_blank, stream_lines
from textgen_env.data.folders import STEMS, check_folder, find, find_split, holds
from textgen_env.errors import UserError, unknown

HOLD_OUT = 23  # every 23rd training pair validates: the usual IWSLT14 preparation, 4 % of train
ESCAPE = re.compile(r"&(?:amp|lt|gt|quot|apos|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});")
_METADATA = re.compile(
    r"\s*</?(?:url|speaker|talkid|title|description|keywords|reviewer|translator|doc|transcript)\b[^>]*>"
)
_TAG = re.compile(r"<(doc|seg)\b([^<>]*)>|</seg>")
_ID = re.compile(r'\b(?:doc)?id="([^"<>]*)"')


def read_folder(
    folder: Path, source: str, target: str, unescape: bool = False, tedx: bool | None = None
) -> Corpus:
    """Whichever of the three forms ``folder`` holds.

    Args:
        folder: where the files are.
        source: suffix of the source files.
        target: suffix of the target files.
        unescape: undo Moses escapes in plain files.
        tedx: whether ``TEDX`` files of an IWSLT release are test sentences; None: they are, as
            all of its XML. The test split of other forms is what it is: only False and None.

    Raises:
        UserError: where the folder holds none of the forms.
    """
    check_folder(folder)
    if source == target:
        raise UserError(
            f"source and target are both {source!r}; env.source and env.target name the two sides"
        )
    plain = all(holds(folder, f"train.{language}") for language in (source, target))
    if not plain and any(
        path.name.startswith("train.tags.") or ".xml" in path.suffixes[-2:]
        for path in folder.iterdir()
    ):
        return read_iwslt_xml(folder, source, target, tedx is not False)
    if tedx:
        raise UserError(
            f"env.tedx=true: {folder} holds no released XML, and its test files are taken as they are; leave it out"
        )
    if any(folder.glob("newstest*")) and not all(
        holds(folder, f"{split}.{source}") for split in ("train", "test")
    ):
        return read_wmt(folder, source, target, unescape)
    return read_parallel(folder, source, target, unescape=unescape)


def read_parallel(folder: Path, source: str, target: str, unescape: bool = False) -> Corpus:
    """``{train,valid,test}.{source,target}``, plain or ``.gz``; line i of one side translates line i of the other.

    unescape: undo the escapes of the Moses tokenizer (``&apos;`` → ``'``).  White space is normalized to single blanks.
    """
    splits = {}
    for split in SPLITS:
        sides = find_split(folder, split, source, target)
        left, right = _aligned(sides, unescape)
        for path, lines in zip(sides, (left, right), strict=True):
            if "" in lines:
                raise UserError(
                    f"{path}:{lines.index('') + 1}: empty line; delete it on both sides, or write the sentence"
                )
        splits[split] = Pairs(left, [(text,) for text in right])
    return Corpus(
        folder.resolve().name, "local", str(folder), splits, preprocessing=Preprocessing(unescape)
    )


def read_wmt(folder: Path, source: str, target: str, unescape: bool = False) -> Corpus:
    """A WMT release, ``STEM.{source,target}``, plain or ``.gz``: the last ``newstest`` tests, the one before it validates.

    All other pairs of files are training text.  Where there is one ``newstest`` only, every 23rd training pair validates.
    Pairs with an empty side are left out and counted.
    """
    names = {path.name.removesuffix(".gz") for path in folder.iterdir()}
    stems = sorted(name.removesuffix(f".{source}") for name in names if name.endswith(f".{source}"))
    for one, other in combinations(stems, 2):
        if other.startswith(f"{one}."):
            raise UserError(
                f"{folder} holds {one}.{source} and {other}.{source}: one text twice? Keep one of its forms"
            )
    if held := [stem for stem in stems if stem in (*STEMS["valid"], *STEMS["test"])]:
        raise UserError(
            f"{folder} holds {held[0]}.{source} beside newstest*, which is what is tested on; remove one of them"
        )
    news, pieces = (
        [stem for stem in stems if stem.startswith("newstest") == new] for new in (True, False)
    )
    if not news or not pieces:
        missing = "training text" if news else f"newstest*.{source}"
        raise UserError(
            f"{folder} has no {missing}; a WMT release holds newstest*.{{{source},{target}}} and training text"
        )
    text = {
        stem: list(
            zip(
                *_aligned(
                    [find(folder, f"{stem}.{language}") for language in (source, target)], unescape
                ),
                strict=True,
            )
        )
        for stem in (*pieces, *news[-2:])
    }
    train = [row for piece in pieces for row in text[piece]]
    train, valid = (train, text[news[-2]]) if len(news) > 1 else _hold_out(train)
    held_out = news[-2] if len(news) > 1 else f"every {HOLD_OUT}rd training pair"
    origin = f"{folder}, train = {' + '.join(pieces)}, valid = {held_out}, test = {news[-1]}"
    corpus = _whole(folder.resolve().name, origin, train, valid, text[news[-1]])
    return replace(corpus, preprocessing=Preprocessing(unescape))


def read_iwslt_xml(folder: Path, source: str, target: str, tedx: bool = True) -> Corpus:
    """An IWSLT release: ``train.tags.de-en.{de,en}`` for training, every ``*.de-en.{de,en}.xml`` together for testing.

    In the 2014 release those are dev2010 and tst2010-2012, 5,585 pairs, and with ``tedx`` also TEDX.dev2012, 6,750;
    validation is every 23rd training pair.  Pairs with an empty side are left out and counted.  Text stays cased and
    untokenized; its XML escapes are undone.
    """
    pair = next(
        (p for p in (f"{source}-{target}", f"{target}-{source}") if any(folder.glob(f"*.{p}.*"))),
        None,
    )
    if pair is None:
        pairs = {
            match[1]
            for path in folder.iterdir()
            if (match := re.search(r"\.([a-z]+-[a-z]+)\.", path.name))
        }
        raise unknown(f"language pair in {folder},", f"{source}-{target}", pairs)
    if not any(folder.glob(f"train.tags.{pair}.*")):
        raise UserError(
            f"{folder} has dev and test XML but no training text; put train.tags.{pair}.{source} and "
            f"train.tags.{pair}.{target} of the same release beside it"
        )
    talks = _pairs(
        [find(folder, f"train.tags.{pair}.{language}") for language in (source, target)], _tagged
    )
    names = sorted({path.name.split(f".{pair}.")[0] for path in folder.glob(f"*.{pair}.*.xml*")})
    files = [file for file in names if tedx or ".TEDX." not in file]
    if not files:
        raise UserError(
            f"{folder} has no test XML: put IWSLT14.TED.tst2010.{pair}.{source}.xml and its like beside train.tags"
        )
    tests = [
        _pairs(
            [find(folder, f"{file}.{pair}.{language}.xml") for language in (source, target)],
            _segments,
        )
        for file in files
    ]
    train, valid = _hold_out(talks)
    left_out = "".join(f", without {file}" for file in names if file not in files)
    origin = f"{folder}, test = {' + '.join(files)}{left_out}"
    corpus = _whole(
        folder.resolve().name, origin, train, valid, [row for test in tests for row in test]
    )
    return replace(corpus, preprocessing=Preprocessing(unescape=True))


def unescape_text(text: str) -> str:
    """Undo XML and Moses escapes once: ``&apos;`` → ``'``, ``&#91;`` → ``[``, ``&amp;lt;`` → ``&lt;``; a lone ``&`` stays."""
    return ESCAPE.sub(lambda match: html.unescape(match[0]), text) if "&" in text else text


def clean(text: str) -> str:
    """One line, single blanks, none at the ends; empty where nothing of the text is visible (see ``files.is_blank``)."""
    text = " ".join(text.split())
    return "" if is_blank(text) else text


def check_length(text: str, where: str) -> str:
    """``text``; UserError where it is too long for the tokenizer."""
    if len(text) > MAX_TEXT:
        raise UserError(
            f"{where}: a text of {len(text):,} characters, at most {MAX_TEXT:,}; split or delete it"
        )
    return text


def _sentences(path: Path, unescape: bool) -> list[str]:
    lines = enumerate(stream_lines(path), 1)
    return [_sentence(line, unescape, path, number) for number, line in lines]


def _sentence(line: str, unescape: bool, path: Path, number: int) -> str:
    return check_length(clean(unescape_text(line) if unescape else line), f"{path}:{number}")


def _aligned(sides: list[Path], unescape: bool) -> tuple[list[str], list[str]]:
    left, right = (_sentences(path, unescape) for path in sides)
    _check_sizes(sides, len(left), len(right))
    return left, right


def _check_sizes(sides: list[Path], left: int, right: int) -> None:
    if left != right:
        raise UserError(
            f"{sides[0]} has {left:,} lines but {sides[1].name} has {right:,}; line i must translate line i"
        )


def _pairs(
    sides: list[Path], read: Callable[[Path], list[tuple[str, str, int]]]
) -> list[tuple[str, str]]:
    """Both sides of one released file, aligned by the keys that ``read`` gives with each sentence."""
    left, right = map(read, sides)
    for (one, _, line), (other, _, _) in zip(left, right, strict=False):
        if one != other:
            raise UserError(
                f"{sides[0]}:{line}: segment {one} stands where {sides[1].name} has {other}"
            )
    _check_sizes(sides, len(left), len(right))
    return [(a, b) for (_, a, _), (_, b, _) in zip(left, right, strict=True)]


def _tagged(path: Path) -> list[tuple[str, str, int]]:
    """(key, sentence, line) of a ``train.tags`` file: its lines without those that carry a talk's metadata."""
    lines = enumerate(stream_lines(path), start=1)
    return [
        ("", _sentence(line, True, path, number), number)
        for number, line in lines
        if not _METADATA.match(line)
    ]


def _segments(path: Path) -> list[tuple[str, str, int]]:
    """(key, sentence, line) of an XML file.

    Scanned, not parsed: nothing is ever expanded or fetched, and the bare ``&`` of some releases does no harm.
    """
    text, document, segments = "\n".join(stream_lines(path)), "", []
    opened: re.Match[str] | None = None
    line, start, counted = 1, 1, 0
    for tag in _TAG.finditer(text):
        line, counted = line + text.count("\n", counted, tag.start()), tag.start()
        if tag[1] == "seg":
            if opened is not None:
                raise UserError(f"{path}:{start}: <seg id={_id(opened)!r}> is not closed")
            opened, start = tag, line
        elif tag[1] == "doc":
            document = _id(tag)
        elif opened is not None:
            sentence = _sentence(text[opened.end() : tag.start()], True, path, start)
            segments.append((f"{document}/{_id(opened)}", sentence, start))
            opened = None
    if opened is not None or not segments:
        count = len(segments) + (opened is not None)
        raise UserError(
            f"{path}: {count} <seg> open but {len(segments)} are whole; copy the file again"
        )
    return segments


def _id(tag: re.Match[str]) -> str:
    """The attribute ``id`` or ``docid`` of a start tag."""
    match = _ID.search(tag[2])
    return match[1] if match else ""


def _hold_out(rows: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(training pairs, validation pairs)."""
    if len(rows) < HOLD_OUT:
        raise UserError(
            f"{len(rows)} training pairs, of which every {HOLD_OUT}rd is to validate: give at least {HOLD_OUT}"
        )
    return [row for i, row in enumerate(rows, 1) if i % HOLD_OUT], rows[HOLD_OUT - 1 :: HOLD_OUT]


def _whole(name: str, origin: str, *splits: list[tuple[str, str]]) -> Corpus:
    """A local corpus without the pairs that have an empty side; a note counts those."""
    kept = [[row for row in rows if all(row)] for rows in splits]
    empty = sum(map(len, splits)) - sum(map(len, kept))
    pairs = [Pairs([left for left, _ in rows], [(right,) for _, right in rows]) for rows in kept]
    notes = (f"note: {empty:,} pairs with an empty side were left out",) if empty else ()
    return Corpus(name, "local", origin, dict(zip(SPLITS, pairs, strict=True)), notes)
