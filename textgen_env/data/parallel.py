"""Parallel text: plain files, a WMT release or an IWSLT release.

Line i of one file is the translation of line i of the other.
"""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

from textgen_env.data.corpus import SPLITS, Corpus, Pairs, local_corpus
from textgen_env.data.files import stream_lines
from textgen_env.data.folders import STEMS, find_file, find_split
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
Segment = tuple[str, str, int]  # id, sentence, line number


def read_parallel(folder: Path, source: str, target: str, unescape: bool = False) -> Corpus:
    """Read ``{train,valid,test}.{source,target}``, plain or ``.gz``, aligned by line.

    White space is normalized to single spaces.

    Args:
        folder: Folder of the files.
        source: Suffix of the source files.
        target: Suffix of the target files.
        unescape: Whether to undo the escapes of the Moses tokenizer (``&apos;`` → ``'``).

    Raises:
        UserError: A file is missing, a line is empty, or two files have different numbers of lines.
    """
    splits = {}
    for split in current_scope().splits:
        paths = find_split(folder, split, source, target)
        rows = read_aligned(paths, unescape)
        for number, row in enumerate(rows, 1):
            if "" in row:
                raise UserError(
                    f"{paths[row.index('')]}:{number}: empty line; "
                    "delete it in both files, or add the sentence"
                )
        splits[split] = Pairs.from_rows((text, (translation,)) for text, translation in rows)
    return local_corpus(folder, splits, unescape)


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
    files = {path.name.removesuffix(".gz") for path in folder.iterdir()}
    stems = sorted(name.removesuffix(f".{source}") for name in files if name.endswith(f".{source}"))
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
    stems_of = {"train": training, "valid": news[-2:-1], "test": news[-1:]}
    if only_test:
        stems_of = {"test": news[-1:]}
    splits: dict[str, list[Row]] = {split: [] for split in stems_of}
    for split, names in stems_of.items():
        for name in names:
            paths = [find_file(folder, f"{name}.{language}") for language in (source, target)]
            splits[split] += read_aligned(paths, unescape)
    words = {split: " + ".join(names) for split, names in stems_of.items()}
    if not (only_test or stems_of["valid"]):
        _hold_out(splits)
        words["valid"] = f"every {HOLD_OUT}rd training pair"
    origin = ", ".join([str(folder), *(f"{split} = {text}" for split, text in words.items())])
    return _without_empty(folder, origin, splits, unescape)


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
    splits: dict[str, list[Row]] = {"test": []}
    if current_scope().splits != ("test",):
        if not any(folder.glob(f"train.tags.{pair}.*")):
            raise UserError(
                f"{folder} has dev and test XML but no training text; add "
                f"train.tags.{pair}.{source} and train.tags.{pair}.{target} of the same release"
            )
        paths = [find_file(folder, f"train.tags.{pair}.{name}") for name in (source, target)]
        splits["train"] = read_aligned(paths, unescape=True, skip=_METADATA)
        _hold_out(splits)
    names = sorted({path.name.split(f".{pair}.")[0] for path in folder.glob(f"*.{pair}.*.xml*")})
    used = [name for name in names if tedx or ".TEDX." not in name]
    if not used:
        raise UserError(
            f"{folder} has no test XML; add files such as IWSLT14.TED.tst2010.{pair}.{source}.xml"
        )
    for name in used:
        files = [f"{name}.{pair}.{language}.xml" for language in (source, target)]
        splits["test"] += _aligned_segments([find_file(folder, file) for file in files])
    excluded = "".join(f", without {name}" for name in names if name not in used)
    origin = f"{folder}, test = {' + '.join(used)}{excluded}"
    return _without_empty(folder, origin, splits, unescape=True)


def _aligned_segments(paths: list[Path]) -> list[Row]:
    """Read a source and a target XML file, whose segments must have the same ids."""
    sources, targets = map(_read_segments, paths)
    for (source_id, _, line), (target_id, _, _) in zip(sources, targets, strict=False):
        if source_id != target_id:
            raise UserError(
                f"{paths[0]}:{line}: segment {source_id} is aligned with segment {target_id} of "
                f"{paths[1].name}; make the ids of both files agree"
            )
    return align(paths, [text for _, text, _ in sources], [text for _, text, _ in targets])


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


def _hold_out(splits: dict[str, list[Row]]) -> None:
    """Move every 23rd training pair to the validation split."""
    rows = splits["train"]
    if len(rows) < HOLD_OUT:
        raise UserError(
            f"{len(rows)} training pairs are too few to hold out every {HOLD_OUT}rd for "
            f"validation; give at least {HOLD_OUT}"
        )
    splits["train"] = [row for i, row in enumerate(rows, 1) if i % HOLD_OUT]
    splits["valid"] = rows[HOLD_OUT - 1 :: HOLD_OUT]


def _without_empty(
    folder: Path, origin: str, splits: dict[str, list[Row]], unescape: bool
) -> Corpus:
    """Build a corpus without pairs that have an empty side; a note gives their number."""
    empty = sum(not all(row) for rows in splits.values() for row in rows)
    notes = (f"note: {empty:,} pairs with an empty side were left out",) if empty else ()
    pairs = {
        split: Pairs.from_rows(
            (source, (target,)) for source, target in splits[split] if source and target
        )
        for split in SPLITS
        if split in current_scope().splits
    }
    return local_corpus(folder, pairs, unescape, origin, notes)


def read_aligned(
    paths: list[Path], unescape: bool, skip: re.Pattern[str] | None = None
) -> list[Row]:
    """Read a source and a target file with equally many lines, without those that ``skip`` matches.

    Raises:
        UserError: A file cannot be read, or they have different numbers of lines.
    """
    sources, targets = (
        [
            clean(line, unescape, f"{path}:{number}")
            for number, line in enumerate(stream_lines(path), 1)
            if not (skip and skip.match(line))
        ]
        for path in paths
    )
    return align(paths, sources, targets)


def align(paths: list[Path], sources: list[str], targets: list[str]) -> list[Row]:
    """Pair the texts of two files; UserError if there are not equally many."""
    if len(sources) != len(targets):
        raise UserError(
            f"{paths[0]} has {len(sources):,} lines but {paths[1].name} has {len(targets):,}; "
            "line i of one must translate line i of the other"
        )
    return list(zip(sources, targets, strict=True))
