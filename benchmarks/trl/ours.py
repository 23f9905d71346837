"""Our side: ``python -m benchmarks.trl.ours TASK VOCABULARY …``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from agents.algorithms.base import Clock
from agents.algorithms.gkd import GKD
from agents.generation.decoding import greedy
from agents.policies.huggingface import HuggingFacePolicy
from agents.training.config import TrainConfig
from agents.training.rounds import run_round
from agents.training.state import TrainerState
from agents.training.trainer import decay_groups, optimizer_step
from benchmarks.trl.material import (
    BATCH,
    BETAS,
    BOS,
    CLIP,
    LR,
    PAD,
    PROMPT,
    Answers,
    Sizes,
    make_lengths,
    make_model,
    make_tokens,
    run,
)
from benchmarks.trl.material import COMPLETION as LIMIT
from benchmarks.trl.material import EOS as MODEL_EOS
from textgen_env import types
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.profiler import Profiler
from textgen_env.types import EOS, Batch


def make_policies(sizes: Sizes, sharpness: float = 1.0) -> tuple[HuggingFacePolicy, PolicyOracle]:
    """Student and teacher over a vocabulary that has a token for each id of the models."""
    words = [f"<{index}>" for index in (BOS, *range(MODEL_EOS + 1, sizes.vocabulary))]
    vocabulary = Vocabulary.from_words(words)
    ids = [None, None, MODEL_EOS, PAD, BOS, *range(MODEL_EOS + 1, sizes.vocabulary)]
    student, teacher = (
        HuggingFacePolicy(
            make_model(sizes, name, sharpness), vocabulary, ids, [], [], keeps_eos=False
        )
        for name in ("student", "teacher")
    )
    teacher.requires_grad_(False)
    return student, PolicyOracle(teacher.eval(), greedy, vocabulary, vocabulary)


def make_batch(prompts: Sequence[Tensor], completions: Sequence[Tensor]) -> Batch:
    """A batch of the models' ids; a source ends in EOS, which the models do not see."""
    offset = len((types.PAD, types.BOS, EOS, types.UNK)) + 1 - (MODEL_EOS + 1)
    source = pad_sequence([F.pad(ids + offset, (0, 1), value=EOS) for ids in prompts], True)
    target = pad_sequence([ids + offset for ids in completions], True)  # padded with PAD, 0
    length = torch.tensor([len(ids) for ids in completions])
    return Batch(torch.arange(len(source)), source, target, length, torch.full_like(length, LIMIT))


def reference_rows(sizes: Sizes) -> list[tuple[Tensor, Tensor]]:
    """Prompts and completions of different lengths."""
    prompts, completions = make_tokens(sizes, BATCH, PROMPT, 0), make_tokens(sizes, BATCH, LIMIT, 1)
    lengths = make_lengths(BATCH, PROMPT), make_lengths(BATCH, LIMIT)[::-1]
    rows = zip(prompts, completions, *lengths, strict=True)
    return [(prompt[:size], completion[:count]) for prompt, completion, size, count in rows]


def losses(answers: Answers, sizes: Sizes) -> None:
    """The loss of GKD on references for each β, on the scale of TRL: ours times β(1 - β)."""
    prompts, completions = zip(*reference_rows(sizes), strict=True)
    batch = make_batch(prompts, completions)
    student, oracle = make_policies(sizes, sharpness=10)
    for beta in BETAS.values():
        answers.wait()
        algorithm = GKD(student, oracle, student_fraction=0, divergence="jsd", beta=beta)
        with torch.no_grad():
            loss = algorithm.loss(batch, Clock(seed=0, step=0, steps=1)).mean.item()
        answers.give(loss * (beta * (1 - beta) or 1))


def steps(answers: Answers, sizes: Sizes, precision: str, checkpointing: bool, count: int) -> None:
    """Train for ``count`` steps; answer with the seconds of each and its parts."""
    prompts = make_tokens(sizes, BATCH * count, PROMPT, seed=0).split(BATCH)
    unused = [torch.tensor([MODEL_EOS + 1])] * BATCH  # completions
    batches: Any = SimpleNamespace(at=lambda step: make_batch([*prompts[step]], unused))
    student, oracle = make_policies(sizes)
    algorithm = GKD(student, oracle, student_fraction=1, divergence="reverse_kl")
    weights = list(student.train().parameters())
    optimizer = torch.optim.AdamW(decay_groups(weights, 0.0), lr=LR, fused=True)
    config, state = TrainConfig(steps=count, precision=precision, lr=LR, clip=CLIP), TrainerState()
    if checkpointing:
        student.checkpointing = True
    for _ in range(count):
        answers.wait()
        start, cpu = time.perf_counter(), time.process_time()
        with Profiler(seconds := {}, "gradient") as profiler:
            for _loss in run_round(algorithm, weights, batches, state, config):
                optimizer_step(weights, optimizer, LR, CLIP)
                state.step += 1
        total, cpu = time.perf_counter() - start, time.process_time() - cpu
        if profiler.counts["decoded"] != BATCH * LIMIT:
            raise SystemExit("a completion ended early: take other prompts")
        gradient = seconds["gradient"] + seconds["data"]
        parts = {"generation": seconds["decode"], "teacher": seconds["teacher"]}
        answers.give({"step": total, "cpu": cpu, **parts, "gradient": gradient})


if __name__ == "__main__":
    run(("transformers", "torch"), losses, steps)
