"""Our beam search against CTranslate2's on a run's student: equal tokens, scores and time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

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
# With a length penalty of exactly 0, CTranslate2 stops only when the best candidate of a step ends.
# This one changes no ranking but makes it stop as soon as K hypotheses have ended, as ours does.
ALMOST_0 = 1e-7
MAX_BATCH_TOKENS = 2048


class TimedOutputs(NamedTuple):
    """Generated tokens of each row, and the time in seconds."""

    tokens: list[list[int]]
    seconds: float


def run_suite(config: DictConfig, setup: Setup) -> Iterator[Row]:
    """For each beam width and length penalty, the share of equal hypotheses, both scores and times.

    A sentence counts only if CTranslate2 ended its hypothesis by EOS within the limit, because it
    lets truncated hypotheses compete. Its probabilities exclude PAD and BOS, to which an untrained
    student gives some probability, so use a trained one. The largest difference in normalized score
    between unequal hypotheses shows whether they are ties.
    """
    if config.run is None:
        raise UserError("suite=beam: give run=RUN, a finished run with student=transformer")
    if find_spec("ctranslate2") is None:
        install = "python -m pip install -c constraints.txt -e '.[export]'"
        raise UserError(f"suite=beam: ctranslate2 is not installed: {install}")
    from agents.interop import ctranslate2 as export

    _, task, student = load_student(config.run, "cpu", "float32")
    test = subset(task.splits["test"], config.rows)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        export.export_model(student, task, folder, "float32")
        model = export.load_translator(folder)
        translator = partial(export.translator_decoder, model, task.vocabulary)
        for width in WIDTHS:
            for penalty in LENGTH_PENALTIES:
                ours = decode_split(Decoder(student, width, "float32", "cpu", penalty), task, test)
                for their_penalty in (penalty,) if penalty or width == 1 else (0.0, ALMOST_0):
                    decode = translator(width=width, length_penalty=their_penalty)
                    theirs = decode_split(decode, task, test)
                    ended = [i for i, tokens in enumerate(theirs.tokens) if tokens[-1:] == [EOS]]
                    differing = [i for i in ended if ours.tokens[i] != theirs.tokens[i]]
                    gaps = [
                        abs(
                            normalized_score(student, test, i, ours.tokens[i], penalty)
                            - normalized_score(student, test, i, theirs.tokens[i], penalty)
                        )
                        for i in differing
                    ]
                    what = f"beam {width}, length penalty {penalty}, CTranslate2 {their_penalty:g}"
                    if ended:
                        equal = [100 * (1 - len(differing) / len(ended))]
                        yield row("beam", f"{what}: equal of {len(ended)}", equal, "%", "≥ 99")
                        gap = [max(gaps, default=0.0)]
                        yield row("beam", f"{what}: largest gap in score", gap, "nats")
                    their_score = [corpus_metric(task, test, theirs.tokens)]
                    yield row("beam", f"{what}: theirs", their_score, task.metric)
                    times = [ours.seconds / theirs.seconds]
                    yield row("beam", f"{what}: time, ours / theirs", times)
                our_score = [corpus_metric(task, test, ours.tokens)]
                what = f"beam {width}, length penalty {penalty}: ours"
                yield row("beam", what, our_score, task.metric)


def decode_split(decode: Decode, task: Task, split: Split) -> TimedOutputs:
    """Decode all rows of ``split`` within the horizon.

    The limit of each source is ignored, because CTranslate2's beam search has one limit for all
    rows.
    """
    tokens: list[list[int]] = [[]] * len(split)
    start = perf_counter()
    for batch in sequential_batches(split, MAX_BATCH_TOKENS, task.limit):
        output = decode(batch.source, task.horizon)
        columns = (batch.index.tolist(), output.action.tolist(), output.length.tolist())
        for index, action, length in zip(*columns, strict=True):
            tokens[index] = action[:length]
    return TimedOutputs(tokens, perf_counter() - start)


@torch.no_grad()
def normalized_score(
    policy: torch.nn.Module, split: Split, index: int, tokens: list[int], length_penalty: float
) -> float:
    """The log-probability of ``tokens`` over their length to the power of ``length_penalty``."""
    source, action = torch.from_numpy(split.source[index])[None], torch.tensor([tokens])
    log_probs: Tensor = policy(source, shift(action)).log_softmax(-1)
    total = log_probs.gather(2, action[:, :, None]).sum().item()
    return total / len(tokens) ** length_penalty


def corpus_metric(task: Task, split: Split, outputs: list[list[int]]) -> float:
    """The task's metric of the generated tokens."""
    texts = [task.vocabulary.decode(tokens) for tokens in outputs]
    return next(
        iter(corpus_score(task.metric, texts, split.texts.references, resamples=0).values())
    ).value
