"""Made-up words, transformer students and source sentences to test the export; its script."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from agents.policies.transformer import TransformerPolicy
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.limit import Limit
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.tasks.task import Task
from textgen_env.types import EOS, PAD, UNK

WORDS, SOURCE_LIMIT, HORIZON = Vocabulary.from_words([f"w{i}" for i in range(40)]), 12, 15
PAIRS = Pairs(["w1 w2 w3"], [("w3 w2 w1",)])
CORPUS = Corpus("words", "local", "by hand", dict.fromkeys(("train", "valid", "test"), PAIRS))
TASK = Task(
    "X-v0",
    CORPUS,
    WORDS,
    source_limit=SOURCE_LIMIT,
    limit=Limit(HORIZON),
    metric="bleu",
    reward="bleu",
)


def random_student(tokens: int = len(WORDS), **shape) -> TransformerPolicy:
    """A transformer with all weights random, including biases and norms, and varied outputs."""
    generator = torch.Generator().manual_seed(3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        policy = TransformerPolicy(tokens, width=16, heads=4, ffn=24, **shape)
    policy.eval().requires_grad_(False)
    for weight in policy.parameters():
        weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.1)
    # With tied embeddings an identity norm would repeat the input, and EOS would be rare.
    policy.decoder_norm.weight.normal_(generator=generator)
    policy.decoder_norm.bias.add_(policy.target_embedding.weight[EOS])
    for layer in policy.decoder:
        layer.cross_attention.output.weight *= 3  # make the output depend on the source
    return policy


def random_sources(rows: int) -> Tensor:
    """``[rows, SOURCE_LIMIT]``: sources of 2 to SOURCE_LIMIT tokens, including UNK."""
    generator = torch.Generator().manual_seed(4)
    length = torch.randint(2, SOURCE_LIMIT + 1, (rows, 1), generator=generator)
    tokens = torch.randint(UNK, len(WORDS), (rows, SOURCE_LIMIT), generator=generator)
    padded = tokens.masked_fill(torch.arange(SOURCE_LIMIT) >= length, PAD)
    return padded.scatter(1, length - 1, EOS)


def run_readme(folder: Path, stdin: bytes) -> list[str]:
    """The lines that the script in the README of ``folder`` prints."""
    readme = (folder / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, input=stdin, capture_output=True, check=True)
    return process.stdout.decode().removesuffix("\n").split("\n")
