"""The cache of the teacher's demonstrations: one folder per teacher, corpus and search.

The cache is filled in shards: an interrupted generation resumes with the first missing shard, and
only one shard is in memory at a time.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from hashlib import blake2b
from itertools import count, islice, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from agents.generation.decoder import Decode
from agents.generation.decoding import DECODER_VERSION
from agents.generation.demonstrations import (
    BEAM,
    KINDS,
    best_hypothesis,
    finished_hypotheses,
    generate_demonstrations,
    oracle_decoder,
)
from agents.model import fingerprint
from agents.runs.locks import locked
from agents.runs.machine import stop_workers
from agents.runs.recorded import RecordedOracle
from agents.training.checkpoint import load_tensors, save_tensors
from textgen_env.data.batching import sequential_batches
from textgen_env.data.files import cache_dir
from textgen_env.data.schema import COUNT, SECONDS, check
from textgen_env.data.split import Split
from textgen_env.errors import UserError, unknown
from textgen_env.oracles.texts import LOSSES, ReencodingOracle
from textgen_env.tasks.task import Task
from textgen_env.terminal import console
from textgen_env.types import Batch, Oracle

MAX_BATCH_TOKENS = 4096  # tokens per decoding batch, padding included
SHARD_BATCHES = 16
SHARD = {"seconds": SECONDS, "counts?": {"*": COUNT}}  # header of a shard


class Demonstrations(NamedTuple):
    """The training split, and the cost of generating its targets, in this run or an earlier one."""

    split: Split
    seconds: float = 0.0
    tokens: int = 0


def training_demonstrations(
    kind: str, task: Task, oracle: Oracle, precision: str, device: str, length_penalty: float = 1.0
) -> Demonstrations:
    """The training split with the teacher's outputs as targets; its texts stay the references.

    An output without EOS within the limit would teach the student not to end. Its row gets an empty
    target, which ``Batches`` leaves out; a message gives the number of these rows.

    Args:
        kind: "references": the split unchanged. "teacher": the best hypothesis of the teacher's
            beam search. "best_of_beam": the hypothesis of the beam with the best sentence score
            against the references. An oracle without a policy has one demonstration per source.
        task: The task.
        oracle: The teacher.
        precision: "float32" or "bf16".
        device: Torch device.
        length_penalty: As in ``beam``.

    Raises:
        UserError: ``kind`` is unknown, or no output ends with EOS.
    """
    if kind not in KINDS:
        raise unknown("demonstrations", kind, KINDS)
    split = task.splits["train"]
    if kind == "references":
        return Demonstrations(split)
    if isinstance(oracle, RecordedOracle):
        return _recorded(kind, task, oracle)
    keep, teacher = 1, task.id
    if policy := getattr(oracle, "policy", None):
        keep, teacher = BEAM if kind == "best_of_beam" else 1, fingerprint(policy)
    decode = oracle_decoder(oracle, BEAM, precision, device, length_penalty, keep)
    key: dict[str, Any] = {"teacher": teacher, "length_penalty": length_penalty, "keep": keep}
    counts = None
    if isinstance(oracle, ReencodingOracle):
        key["tokenizers"] = oracle.vocabulary.to_json(), oracle.student.to_json()
        counts = oracle.counts
    folder = _cache_folder(task, {**key, "precision": precision})
    fill_cache(decode, task, folder, counts)
    if policy:
        stop_workers(policy)
    seconds, targets = 0.0, [np.empty(0, np.int64)] * len(split)
    lossy: Counter[str] = Counter()
    for path in folder.glob("*.safetensors"):
        tensors, header = load_tensors(path)
        seconds += header["seconds"]
        lossy += Counter(header.get("counts"))
        for row, actions in finished_hypotheses(tensors):
            if actions:
                targets[row] = best_hypothesis(task, row, actions).numpy()
    _report_unfinished(sum(not len(target) for target in targets), len(targets))
    if lossy:
        text = ", ".join(f"{lossy[name]:,} {LOSSES[name]}" for name in LOSSES if lossy[name])
        console.print(f"demonstrations by way of text: {text}", soft_wrap=True)
    return Demonstrations(replace(split, target=targets), seconds, sum(map(len, targets)))


def _cache_folder(task: Task, key: dict[str, Any]) -> Path:
    """The folder for the demonstrations of ``task`` by what ``key`` describes."""
    key = {
        "corpus": task.corpus.fingerprint,
        "vocabulary": task.vocabulary.fingerprint,
        "limits": task.limits,
        "decoder": DECODER_VERSION,
        "beam": BEAM,
        **key,
    }
    digest = blake2b(json.dumps(key).encode(), digest_size=8).hexdigest()
    return cache_dir() / "demonstrations" / f"{task.id}-{digest}"


def _recorded(kind: str, task: Task, oracle: RecordedOracle) -> Demonstrations:
    """The training split with recorded outputs: of each source the first, or the best-scored."""
    rows, train = oracle.hypotheses(), oracle.outputs["train"]
    targets = [
        best_hypothesis(task, row, actions if kind == "best_of_beam" else actions[:1]).numpy()
        if actions
        else np.empty(0, np.int64)
        for row, actions in enumerate(rows)
    ]
    missing = sum(not actions for actions in rows)
    if missing == len(rows):
        raise UserError(
            f"{oracle.files['train']}: no output has at most {task.horizon} tokens; "
            "raise env.horizon"
        )
    counts = {
        f"of {len(rows):,} sources have only empty outputs or over {task.horizon} tokens "
        "and are left out": missing,
        "repeated outputs are left out": train.repeated,
        "rows have a source that is not in the training data": train.unused,
    }
    notes = [f"{number:,} {text}" for text, number in counts.items() if number]
    if notes:
        console.print(f"teacher's outputs: {', '.join(notes)}", soft_wrap=True)
    split = replace(task.splits["train"], target=targets)
    return Demonstrations(split, tokens=sum(map(len, targets)))


def fill_cache(
    decode: Decode, task: Task, folder: Path, counts: Counter[str] | None = None
) -> None:
    """Fill ``folder`` with the outputs of ``decode`` for all training sources; keep intact shards.

    A shard holds the tensors of ``demonstrate``; its header holds the ``seconds`` they took, and
    what ``decode`` has counted in ``counts``.
    """
    counts = Counter() if counts is None else counts
    split = task.splits["train"]
    columns = (
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    batches = sequential_batches(split, MAX_BATCH_TOKENS, task.limit)
    shards = takewhile(bool, (list(islice(batches, SHARD_BATCHES)) for _ in count()))
    with locked(folder, wait=True), Progress(*columns, console=console) as bar:
        rows = bar.add_task("teacher's demonstrations", total=len(split))
        for number, shard in enumerate(shards):
            path = folder / f"{number:05}.safetensors"
            if error := _shard_error(path, shard, len(task.vocabulary)):
                if path.exists():
                    message = f"cached demonstrations are generated again: {error}"
                    console.print(message, soft_wrap=True)
                start = time.perf_counter()
                counts.clear()
                tensors = generate_demonstrations(decode, shard)
                header = {"seconds": time.perf_counter() - start, "counts": dict(counts)}
                save_tensors(path, tensors, header)
            bar.advance(rows, sum(map(len, shard)))


def _shard_error(path: Path, batches: list[Batch], tokens: int) -> str:
    """Why the shard cannot be used; empty if it holds the outputs for ``batches``."""
    try:
        tensors, header = load_tensors(path)
        check(header, SHARD, "its header")
        index, length, action = (tensors[name] for name in ("index", "length", "action"))
        valid = torch.equal(index, torch.cat([batch.index for batch in batches]))
        valid &= (
            length.dim() == 2 and len(length) == len(index) and int(length.sum()) == len(action)
        )
        valid &= not len(action) or 0 <= int(action.min()) <= int(action.max()) < tokens
    except UserError as error:
        return str(error)
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        return f"{path} is corrupted ({error})"
    return "" if valid else f"{path} is corrupted: it holds no outputs for these sources"


def _report_unfinished(unfinished: int, rows: int) -> None:
    if unfinished == rows:
        raise UserError(
            f"none of the teacher's {rows:,} demonstrations ends with EOS within its limit: "
            "train the teacher longer (teacher.train.steps), or raise env.limit_ratio, "
            "env.limit_offset and env.horizon"
        )
    if unfinished:
        console.print(
            f"teacher's demonstrations: {unfinished:,} of {rows:,} do not end with EOS "
            "and are left out"
        )
