"""Datasets of the Hugging Face Hub, downloaded once, then read from this project's cache.

A dataset is untrusted data. Only files with a suffix of ``FORMATS`` are downloaded and read, under
their own names; scripts, and the files that a README.md refers to, are not.
"""

from __future__ import annotations

import re
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
from textgen_env.data.readers import check_length, normalize_spaces
from textgen_env.errors import UserError

# The hub's own Parquet export of datasets that were published as scripts.
PARQUET = "refs/convert/parquet"
TIMEOUT = 3.0  # seconds to wait for the hub
FORMATS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv"}  # → reader
SPLIT_NAMES = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}


class HubDataset(NamedTuple):
    """A dataset on the hub.

    Args:
        title: Its usual name, for messages.
        name: ``owner/name``, or a local folder with the same layout.
        source: Column of the sources, at top level or inside the column ``translation``.
        target: Column of the targets.
        folder: Subfolder of the configuration's files; empty for the top level.
        revision: Branch, tag or commit; empty for the newest.
        join: Merge consecutive rows with the same source into one pair with several references.
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
    """Forbid downloads in this block, because an untrusted run folder may name any dataset."""
    token = _local_only.set(True)
    try:
        yield
    finally:
        _local_only.reset(token)


def is_local_only() -> bool:
    """Whether downloads are forbidden by ``local_only``."""
    return _local_only.get()


def load_hub(data: HubDataset) -> Corpus:
    """Load the train, validation and test splits of a dataset, from the cache after the first call.

    Raises:
        UserError: The hub, the datasets package or the data is not available.
    """
    path = _cache_file(data)
    prepared: dict[str, Any] | None = None
    if path.is_file():
        try:
            prepared = load_json(path)
        except CorruptFileError as error:
            warnings.warn(f"{error}; downloading it again", stacklevel=2)
    if prepared is None:
        prepared = _prepare(data)
        save_json(path, prepared)
    splits = {
        split: Pairs([source for source, _ in rows], [tuple(references) for _, references in rows])
        for split, rows in prepared["splits"].items()
    }
    empty = prepared["empty"]
    notes = (f"note: {empty:,} pairs with an empty side were left out",) if empty else ()
    return Corpus(data.name, "hub", prepared["origin"], splits, notes)


def is_prepared(data: HubDataset) -> bool:
    """Whether ``load_hub`` finds the dataset in the cache and needs no network."""
    return _cache_file(data).is_file()


def unreachable_reason(name: str) -> str:
    """Why the dataset ``name`` cannot be downloaded, or an empty string if it can."""
    if Path(name).is_dir():
        return ""
    if is_local_only():
        return "it is not in this machine's cache, and a run's folder downloads nothing"
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        HfApi().dataset_info(name, timeout=TIMEOUT)
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "an error")
        return f"the hub answers {status} for {name}"
    except Exception as error:  # its class depends on the version of huggingface_hub
        return f"the hub cannot be reached ({type(error).__name__})"
    return ""


def _cache_file(data: HubDataset) -> Path:
    local = Path(data.name).is_dir()
    name = str(Path(data.name).resolve()) if local else data.name
    # a local folder may change
    stamps = repr(file_stamps(name, "**/*")).encode() if local else b""
    version = blake2b(stamps, digest_size=8).hexdigest() if local else ""
    fields = (name, data.folder, data.source, data.target, data.revision, version)
    readable = "--".join(filter(None, fields))
    return cache_dir() / "datasets" / f"{re.sub(r'[^-._a-zA-Z0-9]', '_', readable)}.json"


def _prepare(data: HubDataset) -> dict[str, Any]:
    """Download and read a dataset.

    Returns:
        ``origin``: where it comes from, in words. ``splits``: per split, a list of
        ``[source, [reference, …]]``. ``empty``: number of pairs left out because a side is empty.
    """
    try:
        import datasets
    except ImportError:
        raise UserError(
            "env.corpus=hub needs the datasets package: pip install -e '.[hub]'"
        ) from None
    splits: dict[str, list[Any]] = {}
    empty = 0
    try:
        files = _files(_download(data))
        for split, hub_split in zip(SPLITS, SPLIT_NAMES, strict=True):
            if hub_split not in files:
                raise UserError(
                    f"it has no {hub_split} split of {', '.join(FORMATS)} files "
                    f"(its splits: {', '.join(files) or 'none'})"
                )
            rows = list(_pairs(_rows(datasets, files[hub_split]), data, hub_split))
            complete = [row for row in rows if all(row)]
            empty += len(rows) - len(complete)
            splits[split] = [(source, [target]) for source, target in complete]
            if data.join:
                splits[split] = [
                    (source, [target for _, target in group])
                    for source, group in groupby(complete, key=itemgetter(0))
                ]
    except Exception as error:  # whatever datasets, huggingface_hub or the network raises
        raise UserError(
            f"env.corpus=hub: {' '.join(filter(None, (data.name, data.folder)))}: "
            f"{_one_line(error)}; use env.data_dir=FOLDER or env.corpus=bundled"
        ) from error
    origin = " ".join(filter(None, (data.name, data.folder, data.revision)))
    return {"origin": origin, "empty": empty, "splits": splits}


def _download(data: HubDataset) -> Path:
    """Download the dataset unless it is in huggingface_hub's cache; return its folder."""
    if Path(data.name).is_dir():
        return Path(data.name, data.folder)
    from huggingface_hub import snapshot_download

    prefix = f"{data.folder}/" if data.folder else ""
    reason = unreachable_reason(data.name)
    try:
        path = snapshot_download(
            data.name,
            repo_type="dataset",
            revision=data.revision or None,
            allow_patterns=[f"{prefix}*{suffix}" for suffix in FORMATS],
            local_files_only=bool(reason),
        )
    except Exception as error:
        if reason:
            raise UserError(reason) from error
        raise
    return Path(path, data.folder)


def _files(folder: Path) -> dict[str, list[Path]]:
    """Find the files of each split, which their paths name, in the first of ``FORMATS`` present."""
    resolved = folder.resolve()
    # files in huggingface_hub's cache are links into its blobs
    caches = (parent.parent for parent in resolved.parents if parent.name == "snapshots")
    roots = [resolved, *(cache / "blobs" for cache in caches)]
    for suffix in FORMATS:
        files: dict[str, list[Path]] = {}
        for path in sorted(folder.rglob(f"*{suffix}")):
            name = str(path.relative_to(folder))
            words = {*re.split(r"[^a-z]+", name.lower())}
            split = next((split for split, names in SPLIT_NAMES.items() if words & {*names}), None)
            if split is None:
                continue
            if not re.fullmatch(r"[\w./=-]+", name):
                raise UserError(
                    f"{path.name!r}: file names may only have letters, digits and . _ = -; "
                    "rename it"
                )
            if not path.is_file() or not any(path.resolve().is_relative_to(root) for root in roots):
                raise UserError(
                    f"{path.name} is a link out of the folder, or not a file; "
                    "put the file itself there"
                )
            files.setdefault(split, []).append(path)
        if files:
            return files
    return {}


def _rows(datasets: ModuleType, paths: list[Path]) -> Iterator[dict[str, Any]]:
    """Yield rows as stored: to decode a column of images or audio would open other files."""
    read = getattr(datasets.Dataset, f"from_{FORMATS[paths[0].suffix]}")
    for batch in read([str(path) for path in paths]).with_format("arrow").iter(1000):
        yield from batch.to_pylist()


def _pairs(
    rows: Iterator[dict[str, Any]], data: HubDataset, split: str
) -> Iterator[tuple[str, str]]:
    """Yield the (source, target) pairs; UserError beyond the limits of text files."""
    size = 0
    for number, row in enumerate(rows, 1):
        pair = _pair(row, data, f"{split} row {number:,}")
        size += sum(map(len, pair))
        if number > MAX_LINES:
            raise UserError(f"{split}: more than {MAX_LINES:,} rows (the limit)")
        if size > MAX_FILE:
            raise UserError(f"{split}: more than {MAX_FILE:,} characters of text (the limit)")
        yield pair


def _pair(row: dict[str, Any], data: HubDataset, where: str) -> tuple[str, str]:
    """Return (source, target) of a row, from its columns or its column ``translation``."""
    texts = row.get("translation", row)
    if data.source not in texts or data.target not in texts:
        raise UserError(
            f"it has no {data.source}–{data.target} text (its columns: {', '.join(texts)})"
        )
    source, target = (texts[column] or "" for column in (data.source, data.target))
    for column, text in ((data.source, source), (data.target, target)):
        if not isinstance(text, str):
            raise UserError(f"{where}: column {column} has type {type(text).__name__}, not text")
    return (
        check_length(normalize_spaces(source), where),
        check_length(normalize_spaces(target), where),
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
