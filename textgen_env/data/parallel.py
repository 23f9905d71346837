"""Plain parallel files: line i of one is the translation of line i of the other."""

from __future__ import annotations

from pathlib import Path

from textgen_env.data.corpus import Corpus, Pairs, Preprocessing
from textgen_env.data.files import stream_lines
from textgen_env.data.folders import find_split
from textgen_env.data.scope import current_scope
from textgen_env.data.text import clean
from textgen_env.errors import UserError


def read_aligned(paths: list[Path], unescape: bool) -> tuple[list[str], list[str]]:
    """Read a source and a target file with equally many lines."""
    sources, targets = (
        [clean(line, unescape, f"{path}:{i}") for i, line in enumerate(stream_lines(path), 1)]
        for path in paths
    )
    check_sizes(paths, len(sources), len(targets))
    return sources, targets


def check_sizes(paths: list[Path], sources: int, targets: int) -> None:
    """Raise UserError unless the two files have equally many lines."""
    if sources != targets:
        raise UserError(
            f"{paths[0]} has {sources:,} lines but {paths[1].name} has {targets:,}; "
            "line i of one must translate line i of the other"
        )


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
        sources, targets = read_aligned(paths, unescape)
        for path, lines in zip(paths, (sources, targets), strict=True):
            if "" in lines:
                raise UserError(
                    f"{path}:{lines.index('') + 1}: empty line; "
                    "delete it in both files, or add the sentence"
                )
        splits[split] = Pairs(sources, [(text,) for text in targets])
    name, preprocessing = folder.resolve().name, Preprocessing(unescape)
    return Corpus(name, "local", str(folder), splits, preprocessing=preprocessing)
