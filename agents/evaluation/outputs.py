"""Write every sentence of a split, score it, and measure how fast two policies write the same sentences."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from agents.generation.decoding import DECODER, beam, greedy
from agents.generation.rollout import acting
from agents.losses.sequence import nll
from agents.precision import precision
from agents.training.logger import console
from textgen_env.data.batching import in_order
from textgen_env.data.corpus import Pairs
from textgen_env.data.files import DamagedFile, load_json, save_json
from textgen_env.data.split import Split
from textgen_env.errors import Range, check_range
from textgen_env.metrics.scores import score
from textgen_env.tasks.task import Task
from textgen_env.types import Policy, Trajectories

Writer = Callable[[Tensor, int | Tensor], Trajectories]  # source [B, S], at most how many steps → what was written
AT_ONCE = 512  # positions whose logits are in memory together
EVALUATION_TOKENS = 4096  # target positions decoded side by side


def subset(split: Split, rows: int | None) -> Split:
    """At most ``rows`` evenly spaced rows of ``split``, the same ones every time; None: all."""
    if rows is None:
        return split
    chosen = np.linspace(0, len(split) - 1, min(rows, len(split))).round().astype(int).tolist()
    pairs = Pairs([split.texts.sources[i] for i in chosen], [split.texts.references[i] for i in chosen])
    return Split([split.source[i] for i in chosen], [split.target[i] for i in chosen], pairs)


def writer(
    policy: Policy,
    width: int,
    amp: str,
    device: str,
    length_penalty: float = 1.0,
    keep: int = 1,
) -> Writer:
    """How ``policy`` generates: greedily for a beam ``width`` of 1, else by beam search.

    Args:
        policy: The policy to decode with, in evaluation mode and without gradient.
        width: Beam width.
        amp: Precision, "float32" or "bf16".
        device: Torch device.
        length_penalty: As in ``beam``.
        keep: Hypotheses per source, as in ``beam``.

    Raises:
        UserError: The beam is wider than the vocabulary.
    """
    check_range("beam", width, Range(1, policy.vocabulary_size))

    def write(source: Tensor, steps: int | Tensor) -> Trajectories:
        with acting(policy), precision(amp, device):
            source = source.to(device)
            if width == 1:
                return greedy(policy, source, steps, scored=False)
            return beam(policy, source, steps, width, length_penalty, keep)

    return write


def write_split(write: Writer, task: Task, split: Split) -> list[str]:
    """The text that ``write`` gives for every source of ``split``, in the split's order."""
    texts = [""] * len(split)
    for batch in in_order(split, EVALUATION_TOKENS, task):
        for row, action in zip(batch.index.tolist(), write(batch.source, batch.limit).action.tolist(), strict=True):
            texts[row] = task.vocabulary.decode(action)
    return texts


def outputs_name(rows: int, width: int, length_penalty: float) -> str:
    """The file for ``outputs`` of ``rows`` test sentences; it names all that the decoder reads."""
    penalty = "" if width == 1 else f"-penalty{length_penalty}"  # greedy search has none
    return f"test{rows}-beam{width}{penalty}-decoder{DECODER}.json"


def outputs(write: Writer, task: Task, split: Split, path: Path, whose: str = "") -> list[str]:
    """``write_split``, saved in ``path``, so that what was generated once is not generated again.

    Args:
        write: generates.
        task: of the split.
        split: its sources.
        path: of the file; where it is damaged, or another model's, that is said and it is generated again.
        whose: fingerprint of the model's weights.
    """
    if path.is_file():
        try:
            return _saved_outputs(path, len(split), whose)
        except DamagedFile as error:
            console.print(f"{error}; generated again", markup=False, soft_wrap=True)
    texts = write_split(write, task, split)
    save_json(path, {"model": whose, "texts": texts})
    return texts


def _saved_outputs(path: Path, count: int, whose: str) -> list[str]:
    """What ``outputs`` saved.  DamagedFile where it is not ``count`` texts of the model ``whose``."""
    found = load_json(path)
    texts = found.get("texts") if isinstance(found, dict) else None
    if not isinstance(texts, list) or len(texts) != count or not all(isinstance(text, str) for text in texts):
        raise DamagedFile(f"{path} does not hold {count} texts")
    if found.get("model") != whose:
        raise DamagedFile(f"{path} is by other weights")
    return texts


def mean_nll(policy: Policy, task: Task, split: Split, amp: str, device: str) -> float:
    """Negative log-likelihood of the references, nats a token."""
    total, tokens = 0.0, 0
    with acting(policy), precision(amp, device):
        for batch in in_order(split, EVALUATION_TOKENS, task):
            batch = batch.to(device)
            features, target = policy.features(batch.source, batch.prefix, batch.mask), batch.target[batch.mask]
            for some, said in zip(features.split(AT_ONCE), target.split(AT_ONCE), strict=True):
                total += nll(policy.head(some), said).item() * len(said)
            tokens += batch.tokens
    return total / tokens


def validator(policy: Policy, task: Task, rows: int, amp: str, device: str) -> Callable[[], dict[str, float]]:
    """What the trainer calls between steps: greedy score (first) and NLL on ``rows`` of the validation split."""
    split = subset(task.splits["valid"], rows)

    write = writer(policy, 1, amp, device)

    def validate() -> dict[str, float]:
        scores = score(task.metric, write_split(write, task, split), split.texts.references, resamples=0)
        name, first = next(iter(scores.items()))
        return {f"valid_{name}": first.value, "valid_loss": mean_nll(policy, task, split, amp, device)}

    return validate


def speed(writers: dict[str, Writer], task: Task, split: Split, batch_size: int, rounds: int = 3) -> dict[str, float]:
    """``{name}_tokens_per_second`` on the same sentences, the writers taken in turn; medians of ``rounds`` after a warm-up.

    ``…_low`` and ``…_high`` are the slowest and the fastest round.  Sentences of like length go in batches of ``batch_size``.
    """
    order = np.argsort([len(source) for source in split.source], kind="stable")
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    sources = [
        pad_sequence([torch.from_numpy(split.source[i]) for i in rows], batch_first=True) for rows in batches
    ]  # PAD is 0
    limits = [task.limit(torch.tensor([len(split.source[i]) for i in rows])) for rows in batches]
    work = list(zip(sources, limits, strict=True))
    rates: dict[str, list[float]] = {name: [] for name in writers}
    for turn in range(rounds + 1):
        for name, write in writers.items():
            began = time.perf_counter()
            tokens = sum(int(write(source, limit).length.sum()) for source, limit in work)  # the sum waits for the device
            if turn:
                rates[name].append(tokens / (time.perf_counter() - began))
    found: dict[str, float] = {}
    for name, rate in rates.items():
        key = f"{name}_tokens_per_second"
        found |= {key: statistics.median(rate), f"{key}_low": min(rate), f"{key}_high": max(rate)}
    return found


def samples(split: Split, texts: dict[str, list[str]], count: int) -> list[dict[str, Any]]:
    """``count`` evenly spaced sentences: index, source, reference, and what each writer made of it."""
    chosen = np.linspace(0, len(split) - 1, min(count, len(split))).round().astype(int).tolist()
    pairs = split.texts
    return [
        {
            "index": i,
            "source": pairs.sources[i],
            "reference": pairs.references[i][0],
            **{who: text[i] for who, text in texts.items()},
        }
        for i in chosen
    ]
