"""Generates the outputs for a split, and caches them in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from agents.generation.decoder import Decode
from agents.generation.decoding import DECODER_VERSION
from textgen_env.data.batching import sequential_batches
from textgen_env.data.corpus import Pairs
from textgen_env.data.files import CorruptFileError, load_json, save_json
from textgen_env.data.split import Split
from textgen_env.metrics.scores import corpus_score, sentence_score
from textgen_env.oracles.texts import Reencoder
from textgen_env.tasks.task import Task
from textgen_env.terminal import console, safe_json

OUTPUTS = {"model": str, "texts": [str]}
MAX_BATCH_TOKENS = 4096  # tokens per decoding batch, padding included


def evenly_spaced(total: int, count: int) -> list[int]:
    """``count`` evenly spaced indices below ``total``; all of them if there are fewer."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()


def subset(split: Split, rows: int | None) -> Split:
    """``rows`` evenly spaced rows of ``split``; None for all rows."""
    if rows is None:
        return split
    index = evenly_spaced(len(split), rows)
    return Split(
        [split.source[i] for i in index], [split.target[i] for i in index], split.texts.rows(index)
    )


def generate_texts(decode: Decode, task: Task, split: Split) -> list[str]:
    """The outputs of ``decode`` for all sources of ``split``, in the split's order."""
    texts = [""] * len(split)
    for batch in sequential_batches(split, MAX_BATCH_TOKENS, task.limit):
        if isinstance(decode, Reencoder):
            outputs = decode.texts(batch.source, batch.limit)
        else:
            actions = decode(batch.source, batch.limit).action.tolist()
            outputs = [task.vocabulary.decode(action) for action in actions]
        for row, text in zip(batch.index.tolist(), outputs, strict=True):
            texts[row] = text
    return texts


def score_texts(metric: str, texts: list[str], split: Split) -> dict[str, float]:
    """The scores of the outputs for ``split``, without intervals."""
    scores = corpus_score(metric, texts, split.texts.references, resamples=0)
    return {name: score.value for name, score in scores.items()}


def outputs_filename(rows: int, width: int, length_penalty: float) -> str:
    """The file name for the outputs of ``rows`` test sentences; it names every decoder setting."""
    penalty = "" if width == 1 else f"-penalty{length_penalty}"  # greedy decoding has none
    return f"test{rows}-beam{width}{penalty}-decoder{DECODER_VERSION}.json"


def cached_outputs(
    decode: Decode, task: Task, split: Split, path: Path, model: str = ""
) -> list[str]:
    """``generate_texts``, cached in the file ``path``.

    Args:
        decode: Generates the outputs.
        task: The task of the split.
        split: The sources.
        path: The cache file. If it is corrupted or from other weights, a message says so, and the
            outputs are generated again.
        model: Fingerprint of the model's weights.
    """
    if path.is_file():
        try:
            return _load_outputs(path, len(split), model)
        except CorruptFileError as error:
            console.print(f"{error}; generated again", soft_wrap=True)
    texts = generate_texts(decode, task, split)
    save_json(path, {"model": model, "texts": texts})
    return texts


def _load_outputs(path: Path, count: int, model: str) -> list[str]:
    """The outputs in ``path``; CorruptFileError unless they are ``count`` texts of ``model``."""
    content = load_json(path, OUTPUTS)
    texts: list[str] = content["texts"]
    if len(texts) != count:
        raise CorruptFileError(f"{path} does not hold {count} texts")
    if content["model"] != model:
        raise CorruptFileError(f"{path} was generated with other weights")
    return texts


def sentence_lines(metric: str, texts: list[str], pairs: Pairs) -> str:
    """One JSON object per line: source, references, hypothesis and scores of a sentence.

    Args:
        metric: as in ``Task.metric``.
        texts: the outputs.
        pairs: sources and references of the outputs.
    """
    lines = []
    for source, references, text in zip(pairs.sources, pairs.references, texts, strict=True):
        scores = sentence_score(metric, text, references)
        row = {
            "source": source,
            "references": references,
            "hypothesis": text,
            "scores": {name: round(score, 4) for name, score in scores.items()},
        }
        lines.append(safe_json(json.dumps(row, ensure_ascii=False)) + "\n")
    return "".join(lines)


def samples(split: Split, texts: dict[str, list[str]], count: int) -> list[dict[str, Any]]:
    """``count`` evenly spaced sentences: index, source, reference, and the output of each model."""
    sources, references = split.texts.sources, split.texts.references
    return [
        {"index": i, "source": sources[i], "reference": references[i][0]}
        | {name: outputs[i] for name, outputs in texts.items()}
        for i in evenly_spaced(len(split), count)
    ]
