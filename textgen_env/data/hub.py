"""Datasets of the Hugging Face Hub, downloaded once, then read from this project's cache.

A dataset is untrusted data. Only files with a suffix of ``FORMATS`` are downloaded and read, under
their own names; scripts, and the files that a README.md refers to, are not.
"""

from __future__ import annotations

import re
import warnings
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from textgen_env.data.columns import Columns
from textgen_env.data.corpus import Corpus, Pairs, Preprocessing
from textgen_env.data.files import (
    CorruptFileError,
    cache_dir,
    digest,
    file_stamps,
    load_json,
    save_json,
)
from textgen_env.data.folders import STEMS
from textgen_env.data.scope import current_scope
from textgen_env.data.tables import read_table, read_texts
from textgen_env.errors import UserError

# The hub's own Parquet export of datasets that were published as scripts.
PARQUET = "refs/convert/parquet"
TIMEOUT = 3.0  # seconds to wait for the hub
FORMATS = (".parquet", ".jsonl", ".json", ".csv")  # the first one present is read


class HubDataset(NamedTuple):
    """A dataset on the hub.

    Args:
        title: Its usual name, for messages.
        name: ``owner/name``, or a local folder with the same layout.
        columns: Where the texts are.
        folder: Subfolder of the configuration's files; empty for the top level.
        revision: Branch, tag or commit; empty for the newest.
        join: Merge consecutive rows with the same source into one pair with several references.
    """

    title: str
    name: str
    columns: Columns
    folder: str = ""
    revision: str = ""
    join: bool = False


def load_hub(data: HubDataset) -> Corpus:
    """Load the train, validation and test splits of a dataset, from the cache after the first call.

    Raises:
        UserError: The hub, the data or pyarrow is not available.
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
    splits = {split: Pairs.from_rows(rows) for split, rows in prepared["splits"].items()}
    empty = prepared["empty"]
    notes = (f"note: {empty:,} pairs with an empty side were left out",) if empty else ()
    steps = Preprocessing(data.columns.unescape)
    return Corpus(data.name, "hub", prepared["origin"], splits, notes, steps)


def unreachable_reason(name: str) -> str:
    """Why the dataset ``name`` cannot be downloaded, or an empty string if it can."""
    if Path(name).is_dir():
        return ""
    if not current_scope().downloads:
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
    name, version = data.name, ""
    if Path(name).is_dir():  # it may change
        name = str(Path(name).resolve())
        version = digest(repr(file_stamps(name, "**/*")))
    fields = repr((name, data.folder, data.columns, data.revision, data.join, version))
    readable = re.sub(r"[^-._a-zA-Z0-9]", "_", f"{Path(name).name}--{data.folder}")[:80]
    return cache_dir() / "datasets" / f"{readable}--{digest(fields)}.json"


def _prepare(data: HubDataset) -> dict[str, Any]:
    """Download and read a dataset.

    Returns:
        ``origin``: where it comes from, in words. ``splits``: per split, a list of
        ``[source, [reference, …]]``. ``empty``: number of pairs left out because a side is empty.
    """
    splits: dict[str, list[Any]] = {}
    empty = 0
    try:
        files = _files(_download(data))
        for split, stems in STEMS.items():
            if split not in files:
                raise UserError(
                    f"it has no {stems[-1]} split of {', '.join(FORMATS)} files "
                    f"(its splits: {', '.join(files) or 'none'})"
                )
            tables = (read_table(path, data.columns) for path in files[split])
            texts = read_texts(chain.from_iterable(tables), data.columns, required=False)
            rows = [pair for _, _, *pair in texts]
            complete = [row for row in rows if row[0] and all(row[1])]
            empty += len(rows) - len(complete)
            if data.join:
                complete = [
                    [source, [text for _, references in group for text in references]]
                    for source, group in groupby(complete, key=itemgetter(0))
                ]
            splits[split] = complete
    except Exception as error:  # whatever pyarrow, huggingface_hub or the network raises
        raise UserError(
            f"{data.title} from the hub ({' '.join(filter(None, (data.name, data.folder)))}): "
            f"{' '.join(str(error).split())[:400]}; give a copy with env.data=FILE_OR_FOLDER, or "
            "take synthetic text with env.corpus=bundled"
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
        configurations = set()
        for path in sorted(folder.rglob(f"*{suffix}")):
            name = path.relative_to(folder)
            split = _split_of(str(name))
            if split is None:
                continue
            if not path.is_file() or not any(path.resolve().is_relative_to(root) for root in roots):
                raise UserError(
                    f"{path.name} is a link out of the folder, or not a file; "
                    "put the file itself there"
                )
            files.setdefault(split, []).append(path)
            # the first folder is a configuration unless it names a split
            first = name.parts[0] if len(name.parts) > 1 else "."
            configurations.add("." if _split_of(first) else first)
        if len(configurations) > 1:
            raise UserError(
                f"it has several configurations ({', '.join(sorted(configurations))}); choose one, "
                "such as env.data=hub:NAME/CONFIGURATION"
            )
        if files:
            return files
    return {}


def _split_of(path: str) -> str | None:
    """The split that a word of ``path`` names."""
    words = {*re.split(r"[^a-z]+", path.lower())}
    return next((split for split, stems in STEMS.items() if words & {*stems}), None)


def parse_name(name: str, columns: Columns) -> HubDataset:
    """The dataset ``OWNER/NAME``, ``OWNER/NAME/CONFIGURATION`` or a local folder.

    Raises:
        UserError: It is none of these.
    """
    if name and Path(name).expanduser().is_dir():
        folder = str(Path(name).expanduser())
        return HubDataset(folder, folder, columns)
    owner, _, rest = name.partition("/")
    dataset, _, configuration = rest.partition("/")
    if not owner or not dataset or ".." in name or name.startswith(("/", ".", "~")):
        raise UserError(
            f"env.data=hub:{name}: no such folder, and no name of the hub such as "
            "hub:OWNER/NAME or hub:OWNER/NAME/CONFIGURATION"
        )
    return HubDataset(name, f"{owner}/{dataset}", columns, configuration)
