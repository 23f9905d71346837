"""Parallel text from the Hugging Face hub, through ``datasets``; prepared once, then read from our own cache."""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

from textgen_env.corpus import SPLITS, Corpus
from textgen_env.errors import UserError
from textgen_env.files import cache_dir, write_atomically
from textgen_env.readers import clean, read_parallel

PARQUET = "refs/convert/parquet"  # the hub's own export of data sets that were published as scripts, which nobody should run
REACHABLE_WITHIN = 3.0  # seconds


def load_hub(name: str, config: str, source: str, target: str, revision: str = PARQUET) -> Corpus:
    """The data set's own train, validation and test splits; the first call downloads, later ones read the cache.

    name: ``owner/name``, or a local folder in the same layout.  config: its configuration (in the parquet export, a folder).
    UserError when the hub, the package or the data cannot be had.
    """
    folder = _prepared(name, config, source, target, revision)
    done = folder / "origin.json"  # written last: without it the folder is unfinished and is written again
    if not done.is_file():
        splits, empty = _download(name, config, source, target, revision)
        for split, rows in splits.items():
            for side, language in enumerate((source, target)):
                write_atomically(folder / f"{split}.{language}", "".join(f"{row[side]}\n" for row in rows).encode())
        write_atomically(done, json.dumps({"origin": f"{name} {config} {revision}".strip(), "empty": empty}).encode())
    origin = json.loads(done.read_text(encoding="utf-8"))
    notes = (f"note: {origin['empty']:,} pairs with an empty side were left out",) if origin["empty"] else ()
    return replace(read_parallel(folder, source, target, name), source="hub", origin=origin["origin"], notes=notes)


def is_prepared(name: str, config: str, source: str, target: str, revision: str = PARQUET) -> bool:
    """Whether ``load_hub`` with these arguments needs no network."""
    return (_prepared(name, config, source, target, revision) / "origin.json").is_file()


def why_unreachable(name: str) -> str:
    """Empty when the hub answers for data set ``name`` within seconds, else the reason in a few words."""
    if Path(name).is_dir():
        return ""
    if _offline():
        return "HF_HUB_OFFLINE is set"
    answer = [f"no answer from the hub within {REACHABLE_WITHIN:.0f} s"]
    thread = threading.Thread(target=_ask, args=(name, answer), daemon=True)  # a name look-up has no time limit of its own
    thread.start()
    thread.join(REACHABLE_WITHIN)
    return answer[0]


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}


def _ask(name: str, answer: list[str]) -> None:
    url = f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co')}/api/datasets/{name}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=REACHABLE_WITHIN):
            answer[0] = ""
    except urllib.error.HTTPError as error:
        answer[0] = f"the hub answers {error.code} for {name}"
    except (OSError, ValueError) as error:
        answer[0] = f"the hub cannot be reached ({getattr(error, 'reason', error)})"


def _prepared(*key: str) -> Path:
    readable = "--".join(part for part in key if part)
    return cache_dir() / "hub" / "".join(c if c.isalnum() or c in "-._" else "_" for c in readable)


def _download(name: str, config: str, source: str, target: str, revision: str) -> tuple[dict[str, list[tuple[str, str]]], int]:
    """Every split as (source, target) pairs, and how many pairs were left out because a side is empty."""
    try:
        import datasets
    except ImportError:
        raise UserError("env.corpus=hub needs the datasets package: pip install -e '.[hub]'") from None
    if not _offline() and (reason := why_unreachable(name)):  # offline, the package may still have the data in its own cache
        raise UserError(f"env.corpus=hub: {reason}; use env.data_dir=FOLDER or env.corpus=bundled")
    where: dict[str, Any] = {"data_dir": config or None} if revision == PARQUET else {"name": config or None}
    if not Path(name).is_dir():
        where["revision"] = revision or None
    try:
        data = datasets.load_dataset(name, **where)
    except Exception as error:  # whatever the package, the hub or the network raises is the same news to the user
        raise UserError(f"env.corpus=hub: {name} {config}: {' '.join(str(error).split())[:300]}") from error
    splits, seen = {}, 0
    for split, theirs in zip(SPLITS, ("train", "validation", "test"), strict=True):
        if theirs not in data:
            raise UserError(f"env.corpus=hub: {name} {config} has no {theirs} split (it has: {', '.join(data)})")
        rows = [_pair(row, name, source, target) for row in data[theirs]]
        splits[split] = [row for row in rows if all(row)]
        seen += len(rows)
    return splits, seen - sum(map(len, splits.values()))


def _pair(row: dict[str, Any], name: str, source: str, target: str) -> tuple[str, str]:
    """``{"translation": {"de": …, "en": …}}`` or ``{"de": …, "en": …}`` → (source, target)."""
    texts = row.get("translation", row)
    if source not in texts or target not in texts:
        raise UserError(f"env.corpus=hub: {name} has no {source}–{target} text (its columns: {', '.join(texts)})")
    return clean(texts[source] or ""), clean(texts[target] or "")
