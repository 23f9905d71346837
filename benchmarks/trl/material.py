"""Random models and prompts of both contenders, and how a contender's process answers.

This also runs in TRL's environment, so it imports neither TRL nor this project.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

BATCH, PROMPT, COMPLETION = 8, 64, 64
PAD, BOS, EOS = 0, 1, 2  # ids of the models
BETAS = {"forward KL": 0.0, "JSD, β = 0.1": 0.1, "JSD, β = ½": 0.5, "reverse KL": 1.0}
LR, CLIP = 1e-4, 1.0


class Sizes(NamedTuple):
    """Sizes of the models."""

    vocabulary: int = 32_000
    width: int = 384
    student: int = 6  # layers
    teacher: int = 12


def make_model(sizes: Sizes, name: str, sharpness: float = 1.0) -> LlamaForCausalLM:
    """The model ``name``, "student" or "teacher", with fixed random weights.

    Args:
        sizes: of the models.
        name: student or teacher.
        sharpness: scale of the logits; those of random weights are almost uniform.
    """
    config = LlamaConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.width,
        intermediate_size=8 * sizes.width // 3,
        num_hidden_layers=getattr(sizes, name),
        num_attention_heads=sizes.width // 64,
        max_position_embeddings=PROMPT + COMPLETION + 8,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    torch.manual_seed(getattr(sizes, name))
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight *= sharpness
    return model


def make_tokens(sizes: Sizes, rows: int, length: int, seed: int) -> Tensor:
    """Random ids of the models without special tokens: ``[rows, length]``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(EOS + 1, sizes.vocabulary, (rows, length), generator=generator)


def make_lengths(rows: int, longest: int) -> list[int]:
    """Lengths of ``rows`` sequences, from half of ``longest`` to ``longest``."""
    return torch.linspace(longest // 2, longest, rows).round().int().tolist()


class Answers:
    """The answers of a contender's process: one JSON line for each line of standard input.

    What other code prints goes to standard error.
    """

    def __init__(self) -> None:
        self.pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def wait(self) -> None:
        """Wait until it is this contender's turn; exit if there are no more."""
        if not sys.stdin.readline():
            os._exit(0)

    def give(self, answer: Any) -> None:
        """Answer, which ends the turn."""
        print(json.dumps(answer), file=self.pipe, flush=True)


def run(packages: Sequence[str], losses: Callable[..., None], steps: Callable[..., None]) -> None:
    """Answer with the versions of ``packages``, then run the task that the command line names.

    Args:
        packages: names of installed packages.
        losses: ``(answers, sizes)``.
        steps: ``(answers, sizes, precision, checkpointing, count)``.
    """
    torch.set_num_threads(1)
    task, vocabulary, *settings = sys.argv[1:]
    answers, sizes = Answers(), Sizes(int(vocabulary))
    answers.wait()
    answers.give(", ".join(f"{name} {version(name)}" for name in packages))
    if task == "losses":
        losses(answers, sizes)
    else:
        precision, checkpointing, count = settings
        steps(answers, sizes, precision, checkpointing == "True", int(count))
    answers.wait()
    answers.give(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
