"""The teacher's outputs for the training sources: the data of SeqKD, SeqInter (Kim & Rush 2016) and ImitKD* (Lin et al. 2020).

Written once per teacher and corpus, shard by shard, into the cache: an interrupted generation goes on where it stopped, and
no more than a shard is held in memory while it runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from agents.accel import workers
from agents.generation.decoder import Decode, Decoder
from agents.generation.decoding import DECODER
from agents.runs.locks import locked
from agents.runs.store import fingerprint
from agents.training.checkpoint import fault, load_tensors, save_tensors
from textgen_env.data.batching import in_order
from textgen_env.data.files import cache_dir
from textgen_env.data.split import Split
from textgen_env.errors import UserError, unknown
from textgen_env.metrics.scores import sentence_score
from textgen_env.oracles.oracle import PolicyOracle
from textgen_env.tasks.task import Task
from textgen_env.terminal import console
from textgen_env.types import EOS, Batch, Oracle

KINDS = ("references", "teacher", "best_of_beam")
BEAM = 5  # the teacher's (Lin et al. 2020, section 4)
TOKENS = 4096  # target positions decoded side by side
SHARD = 16  # batches in a file


def demonstrations(
    kind: str,
    task: Task,
    oracle: Oracle,
    amp: str,
    device: str,
    length_penalty: float = 1.0,
    spent: dict[str, float] | None = None,
) -> Split:
    """The training split with its targets replaced by ``kind``; its texts stay the references.

    A demonstration that the teacher did not end by EOS within the limit would teach the student not
    to end: such a row gets an empty target, which ``Batches`` leaves out, and a line on the console
    says how many there are.

    Args:
        kind: "references": the split as it is. "teacher": what the teacher's beam search finds best.
            "best_of_beam": of its beam the hypothesis with the best sentence score against the
            references (an oracle that is no policy has one demonstration only).
        task: The task.
        oracle: The teacher.
        amp: Precision, "float32" or "bf16".
        device: Torch device.
        length_penalty: As in ``beam``.
        spent: Gets ``demonstrations_seconds``, what the generation took in whichever run it was.

    Raises:
        UserError: If ``kind`` is unknown, or the teacher ended none of its demonstrations.
    """
    if kind not in KINDS:
        raise unknown("demonstrations", kind, KINDS)
    split = task.splits["train"]
    if kind == "references":
        return split
    policy: Any = oracle.policy if isinstance(oracle, PolicyOracle) else None
    keep = BEAM if policy is not None and kind == "best_of_beam" else 1
    write = oracle.demonstrate if policy is None else Decoder(policy, BEAM, amp, device, length_penalty, keep)
    about = {
        "teacher": task.id if policy is None else fingerprint(policy),
        "corpus": task.corpus.fingerprint,
        "vocabulary": task.vocabulary.fingerprint,
        "limits": task.limits,
        "decoder": DECODER,
        "beam": BEAM,
        "length_penalty": length_penalty,
        "keep": keep,
        "precision": amp,
    }
    key = blake2b(json.dumps(about).encode(), digest_size=8).hexdigest()
    folder = cache_dir() / "demonstrations" / f"{task.id}-{key}"
    generate(write, task, folder)
    workers.dismiss(policy)
    if spent is not None:
        spent["demonstrations_seconds"] = sum(load_tensors(path)[1]["seconds"] for path in folder.glob("*.safetensors"))
    targets = [torch.empty(0, dtype=torch.int64)] * len(split)
    for rows, hypotheses in _read(folder):
        for row, found in zip(rows, hypotheses, strict=True):
            if ended := [action for action in found if action[-1] == EOS]:
                targets[row] = ended[0] if len(ended) == 1 else _best(task, row, ended)
    _report_endless(sum(not len(target) for target in targets), task)
    return replace(split, target=[target.numpy() for target in targets])


def _report_endless(count: int, task: Task) -> None:
    rows = len(task.splits["train"])
    if count == rows:
        raise UserError(
            f"the teacher ended none of its {rows:,} demonstrations by EOS within the limit of its source: "
            "train it longer (teacher.train.steps), or raise env.limit_ratio, env.limit_offset and env.horizon"
        )
    if count:
        console.print(f"teacher's demonstrations: {count:,} of {rows:,} do not end by EOS and are left out")


def generate(write: Decode, task: Task, folder: Path) -> None:
    """Fill ``folder`` with what ``write`` makes of every training source; shards that are there already are kept.

    A shard holds ``index`` ``[N]``, ``length`` ``[N, keep]`` and, one after the other, the ``action`` of all hypotheses; its
    header the ``seconds`` that they took.
    """
    split = task.splits["train"]
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with locked(folder, wait=True), Progress(*columns, console=console) as bar:
        row = bar.add_task("teacher's demonstrations", total=len(split))
        for number, batches in enumerate(_shards(in_order(split, TOKENS, task))):
            path = folder / f"{number:05}.safetensors"
            why = fault(path)
            if why and path.exists():
                console.print(f"cached demonstrations are generated again: {why}", markup=False, soft_wrap=True)
            if why:
                began = time.perf_counter()
                tensors = _written(write, batches)
                save_tensors(path, tensors, {"seconds": time.perf_counter() - began})
            bar.advance(row, sum(map(len, batches)))


def _shards(batches: Iterator[Batch]) -> Iterator[list[Batch]]:
    while shard := list(islice(batches, SHARD)):
        yield shard


def _written(write: Decode, batches: list[Batch]) -> dict[str, Tensor]:
    actions, lengths = [], []
    for batch in batches:
        found = write(batch.source, batch.limit)
        inside = torch.arange(found.action.shape[1], device=found.action.device) < found.length[:, None]  # [B·keep, T]
        actions.append(found.action[inside])
        lengths.append(found.length.view(len(batch), -1))  # [B, keep]
    return {"index": torch.cat([batch.index for batch in batches]), "length": torch.cat(lengths), "action": torch.cat(actions)}


def _read(folder: Path) -> Iterator[tuple[list[int], list[list[Tensor]]]]:
    """Of every shard the rows, and for each row its hypotheses, best first."""
    for path in sorted(folder.glob("*.safetensors")):
        tensors, _ = load_tensors(path)
        hypotheses = tensors["action"].split(tensors["length"].flatten().tolist())
        keep = tensors["length"].shape[1]
        rows = [[each for each in hypotheses[start : start + keep] if len(each)] for start in range(0, len(hypotheses), keep)]
        yield tensors["index"].tolist(), rows


def _best(task: Task, row: int, found: list[Tensor]) -> Tensor:
    references = task.splits["train"].texts.references[row]

    def value(action: Tensor) -> float:
        return next(iter(sentence_score(task.metric, task.vocabulary.decode(action.tolist()), references).values()))

    return max(found, key=value)  # the first of equals: the likelier one
