"""Beam search against CTranslate2's on the same float32 weights: equal tokens, BLEU and time, of a run's student."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import torch
from omegaconf import DictConfig
from torch import Tensor

from agents.evaluation.outputs import subset
from agents.generation.decoder import Decode, Decoder
from agents.runs.loading import load_student
from benchmarks.material import Setup
from benchmarks.table import Row, row
from textgen_env.data.batching import sequential_batches
from textgen_env.data.split import Split
from textgen_env.errors import UserError
from textgen_env.metrics.scores import corpus_score
from textgen_env.tasks.task import Task
from textgen_env.types import EOS, shift

WIDTHS, LENGTH_PENALTIES = (1, 4, 5), (0.0, 0.6, 1.0)
# Of CTranslate2 instead of 0, where it would stop only when the best candidate of a step ends: at this power, which
# changes no ranking, it stops when K hypotheses have ended, as ours does.
ALMOST_0 = 1e-7
TOKENS = 2048  # positions decoded side by side


def measure(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """For each beam width and length penalty: how many hypotheses are the same token for token, and both scores.

    Only sentences count whose hypothesis CTranslate2 ended by EOS within the limit: it lets those
    cut at the limit compete with the others. Its probabilities leave out PAD and BOS, to which an
    untrained student gives some: compare a trained one. The greatest difference in normalized score
    of those that differ shows whether it is a tie.
    """
    if config.run is None:
        raise UserError(
            "suite=beam: give run=RUN, a finished run folder whose student is a transformer"
        )
    if find_spec("ctranslate2") is None:
        raise UserError(
            "suite=beam: ctranslate2 is not installed: python -m pip install -c constraints.txt -e '.[export]'"
        )
    from agents.interop import ctranslate2 as export

    _, task, student = load_student(config.run, "cpu", "float32")
    test = subset(task.splits["test"], config.rows)
    with TemporaryDirectory() as work:
        folder = Path(work) / "model"
        export.export(student, task, folder, "float32")
        peer = partial(export.decoder, export.load(folder), task.vocabulary)
        for width in WIDTHS:
            for power in LENGTH_PENALTIES:
                ours, mine = generated(Decoder(student, width, "float32", "cpu", power), task, test)
                for their_power in (power,) if power or width == 1 else (0.0, ALMOST_0):
                    theirs, their = generated(
                        peer(width=width, length_penalty=their_power), task, test
                    )
                    ended = [i for i, tokens in enumerate(theirs) if tokens and tokens[-1] == EOS]
                    different = [i for i in ended if ours[i] != theirs[i]]
                    gaps = [
                        abs(
                            value(student, test, i, ours[i], power)
                            - value(student, test, i, theirs[i], power)
                        )
                        for i in different
                    ]
                    what = f"beam {width}, length penalty {power}, CTranslate2 {their_power:g}"
                    if ended:
                        same = 100 * (1 - len(different) / len(ended))
                        yield row("beam", f"{what}: same of {len(ended)}", [same], "%", "≥ 99")
                        yield row(
                            "beam",
                            f"{what}: greatest gap in score",
                            [max(gaps, default=0.0)],
                            "nats",
                        )
                    yield row("beam", f"{what}: theirs", [metric(task, test, theirs)], task.metric)
                    yield row("beam", f"{what}: time, ours over theirs", [mine / their])
                yield row(
                    "beam",
                    f"beam {width}, length penalty {power}: ours",
                    [metric(task, test, ours)],
                    task.metric,
                )


def generated(decode: Decode, task: Task, split: Split) -> tuple[list[list[int]], float]:
    """The tokens of every row of ``split`` within the horizon, and the seconds that it took.

    CTranslate2's beam search has one limit for all rows, so the limit of each source is left aside.
    """
    outputs: list[list[int]] = [[]] * len(split)
    start = perf_counter()
    for batch in sequential_batches(split, TOKENS, task.limit):
        output = decode(batch.source, task.horizon)
        for index, action, length in zip(
            batch.index.tolist(), output.action.tolist(), output.length.tolist(), strict=True
        ):
            outputs[index] = action[:length]
    return outputs, perf_counter() - start


@torch.no_grad()
def value(
    policy: torch.nn.Module, split: Split, index: int, tokens: list[int], power: float
) -> float:
    """The normalized score of ``tokens``, by teacher forcing."""
    action = torch.tensor([tokens])
    log_probs: Tensor = policy(
        torch.from_numpy(split.source[index])[None], shift(action)
    ).log_softmax(-1)
    return log_probs.gather(2, action[:, :, None]).sum().item() / len(tokens) ** power


def metric(task: Task, split: Split, outputs: list[list[int]]) -> float:
    """The task's score of what was generated."""
    texts = [task.vocabulary.decode(tokens) for tokens in outputs]
    return next(
        iter(corpus_score(task.metric, texts, split.texts.references, resamples=0).values())
    ).value
