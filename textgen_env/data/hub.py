"""Data sets of the Hugging Face hub, through ``datasets``; prepared once, then read from our own cache.

A data set is data: of its files only those of ``FORMATS`` are downloaded and read, under their own
names.  Scripts, and the places that its README.md names, are not.
"""

from __future__ import annotations

import os
import re
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from textgen_env.data.corpus import SPLITS, Corpus, Pairs
from textgen_env.data.files import (
    MAX_FILE,
    MAX_LINES,
    CorruptFileError,
    cache_dir,
    file_stamps,
    load_json,
    save_json,
)
from textgen_env.data.readers import check_length, clean
from textgen_env.errors import UserError

PARQUET = "refs/convert/parquet"  # the hub's own export of data sets that were published as scripts, which nobody should run
REACHABLE_WITHIN = 3.0  # seconds
FORMATS = {
    ".parquet": "parquet",
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
}  # → what reads it
SPLIT_NAMES = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}


class HubDataset(NamedTuple):
    """A data set on the hub.

    title: what people call it.  name: ``owner/name``, or a local folder in the same layout.  source, target: its columns, or
    those in its column ``translation``.  folder: where in it the files of the configuration lie (empty: at its top).
    revision: empty for the newest.  join: rows that follow each other with the same source are one, with several references.
    """

    title: str
    name: str
    source: str
    target: str
    folder: str = ""
    revision: str = ""
    join: bool = False


_local_only: ContextVar[bool] = ContextVar("local_only", default=False)


@contextmanager
def local_only() -> Iterator[None]:
    """Within it nothing is downloaded: a run's folder, which may be from the net, names what it likes."""
    token = _local_only.set(True)
    try:
        yield
    finally:
        _local_only.reset(token)


def is_local_only() -> bool:
    """Whether this is within ``local_only``."""
    return _local_only.get()


def load_hub(data: HubDataset) -> Corpus:
    """The data set's own train, validation and test splits; the first call downloads, later ones read the cache.

    UserError when the hub, the package or the data cannot be had.
    """
    path = _prepared(data)
    prepared: dict[str, Any] | None = None
    if path.is_file():
        try:
            prepared = load_json(path)
        except CorruptFileError as error:
            warnings.warn(f"{error}; it is downloaded again", stacklevel=2)
    if prepared is None:
        prepared = _download(data)
        save_json(path, prepared)
    splits = {
        split: Pairs([source for source, _ in rows], [tuple(references) for _, references in rows])
        for split, rows in prepared["splits"].items()
    }
    notes = (
        (f"note: {prepared['empty']:,} pairs with an empty side were left out",)
        if prepared["empty"]
        else ()
    )
    return Corpus(data.name, "hub", prepared["origin"], splits, notes)


def is_prepared(data: HubDataset) -> bool:
    """Whether ``load_hub`` needs no network."""
    return _prepared(data).is_file()


def unreachable_reason(name: str) -> str:
    """Empty when the hub answers for data set ``name`` within seconds, else the reason in a few words."""
    if Path(name).is_dir():
        return ""
    if is_local_only():
        return "it is not in this machine's cache, and a run's folder downloads nothing"
    if _offline():
        return "HF_HUB_OFFLINE is set"
    answer = [f"no answer from the hub within {REACHABLE_WITHIN:.0f} s"]
    thread = threading.Thread(
        target=_ask, args=(name, answer), daemon=True
    )  # a name look-up has no time limit of its own
    thread.start()
    thread.join(REACHABLE_WITHIN)
    return answer[0]


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}


def _ask(name: str, answer: list[str]) -> None:
    url = f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co')}/api/datasets/{name}"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, method="HEAD"), timeout=REACHABLE_WITHIN
        ):
            answer[0] = ""
    except urllib.error.HTTPError as error:
        answer[0] = f"the hub answers {error.code} for {name}"
    except (OSError, ValueError) as error:
        answer[0] = f"the hub cannot be reached ({getattr(error, 'reason', error)})"


def _prepared(data: HubDataset) -> Path:
    local = Path(data.name).is_dir()
    name = str(Path(data.name).resolve()) if local else data.name
    seen = (
        blake2b(repr(file_stamps(name, "**/*")).encode(), digest_size=8).hexdigest()
        if local
        else ""
    )  # a folder may change
    readable = "--".join(
        filter(None, (name, data.folder, data.source, data.target, data.revision, seen))
    )
    return cache_dir() / "datasets" / f"{re.sub(r'[^-._a-zA-Z0-9]', '_', readable)}.json"


def _download(data: HubDataset) -> dict[str, Any]:
    """What is kept: ``origin`` in words, ``splits`` of [source, [reference, …]] rows, and how many ``empty`` pairs are not."""
    try:
        import datasets
    except ImportError:
        raise UserError(
            "env.corpus=hub needs the datasets package: pip install -e '.[hub]'"
        ) from None
    offline = _offline()  # then the package may still have it in its own cache
    reason = "" if offline else unreachable_reason(data.name)
    if reason:
        raise UserError(f"env.corpus=hub: {reason}; use env.data_dir=FOLDER or env.corpus=bundled")
    origin = " ".join(filter(None, (data.name, data.folder, data.revision)))
    splits: dict[str, list[Any]] = {}
    empty = 0
    try:
        files = _files(_folder(data, offline))
        for split, theirs in zip(SPLITS, SPLIT_NAMES, strict=True):
            if theirs not in files:
                raise UserError(
                    f"it has no {theirs} split of {', '.join(FORMATS)} files (it has: {', '.join(files)})"
                )
            rows = list(_pairs(_rows(datasets, files[theirs]), data, theirs))
            kept = [row for row in rows if all(row)]
            empty += len(rows) - len(kept)
            splits[split] = [(source, [target]) for source, target in kept]
            if data.join:
                splits[split] = [
                    (source, [target for _, target in group])
                    for source, group in groupby(kept, key=itemgetter(0))
                ]
    except (
        Exception
    ) as error:  # whatever the package, the hub or the network raises is the same news to the user
        raise UserError(
            f"env.corpus=hub: {data.name} {data.folder}: {' '.join(str(error).split())[:300]}"
        ) from error
    return {"origin": origin, "empty": empty, "splits": splits}


def _folder(data: HubDataset, offline: bool) -> Path:
    """Where its files lie on this machine; those of the hub are downloaded first."""
    if Path(data.name).is_dir():
        return Path(data.name, data.folder)
    from huggingface_hub import snapshot_download

    under = f"{data.folder}/" if data.folder else ""
    patterns = [f"{under}*{suffix}" for suffix in FORMATS]
    path = snapshot_download(
        data.name,
        repo_type="dataset",
        revision=data.revision or None,
        allow_patterns=patterns,
        local_files_only=offline,
    )
    return Path(path, data.folder)


def _files(folder: Path) -> dict[str, list[Path]]:
    """``{split: its files}``, all of the first of ``FORMATS`` that is there; their paths name the split."""
    roots = [
        folder.resolve(),
        *(
            parent.parent / "blobs"
            for parent in folder.resolve().parents
            if parent.name == "snapshots"
        ),
    ]
    for suffix in FORMATS:
        files: dict[str, list[Path]] = {}
        for path in sorted(folder.rglob(f"*{suffix}")):
            words = re.split(r"[^a-z]+", str(path.relative_to(folder)).lower())
            split = next(
                (split for split, names in SPLIT_NAMES.items() if set(names) & set(words)), None
            )
            if split is None:
                continue
            if not re.fullmatch(r"[\w./=-]+", str(path.relative_to(folder))):
                raise UserError(
                    f"{path.name!r}: letters, digits and . _ = - expected in a file's name; rename it"
                )
            if not path.is_file() or not any(path.resolve().is_relative_to(root) for root in roots):
                raise UserError(
                    f"{path.name} is a link out of the folder, or no file; put the file itself there"
                )
            files.setdefault(split, []).append(path)
        if files:
            return files
    return {}


def _rows(datasets: ModuleType, paths: list[Path]) -> Iterator[dict[str, Any]]:
    """The rows as they are stored: a column that says it is an image or a sound would be opened."""
    read = getattr(datasets.Dataset, f"from_{FORMATS[paths[0].suffix]}")
    for batch in read([str(path) for path in paths]).with_format("arrow").iter(1000):
        yield from batch.to_pylist()


def _pairs(
    rows: Iterator[dict[str, Any]], data: HubDataset, split: str
) -> Iterator[tuple[str, str]]:
    """The (source, target) pairs of ``rows``; UserError where they are more than a text file may hold."""
    size = 0
    for number, row in enumerate(rows, 1):
        pair = _pair(row, data, f"{split} row {number:,}")
        size += sum(map(len, pair))
        if number > MAX_LINES:
            raise UserError(f"{split}: more than {MAX_LINES:,} rows, the limit")
        if size > MAX_FILE:
            raise UserError(f"{split}: more than {MAX_FILE:,} characters of text, the limit")
        yield pair


def _pair(row: dict[str, Any], data: HubDataset, where: str) -> tuple[str, str]:
    """``{"translation": {"de": …, "en": …}}``, or the columns themselves → (source, target)."""
    texts = row.get("translation", row)
    if data.source not in texts or data.target not in texts:
        raise UserError(
            f"it has no {data.source}–{data.target} text (its columns: {', '.join(texts)})"
        )
    source, target = (texts[column] or "" for column in (data.source, data.target))
    for column, text in ((data.source, source), (data.target, target)):
        if not isinstance(text, str):
            raise UserError(f"{where}: column {column} holds {type(text).__name__}, not text")
    return check_length(clean(source), where), check_length(clean(target), where)
