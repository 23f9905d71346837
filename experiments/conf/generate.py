"""The keys of ``experiments/generate.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from conf import Beam, Count, Machine, Penalty, Seed
from textgen_env.errors import Range


@dataclass(frozen=True)
class Config(Machine):
    """Generate text with a trained student: one input per line, one output per line.

    For a chat model, a line is a message of the user; with format=jsonl, it is a JSON object with
    messages or a prompt.

    Args:
        run: run folder, or hf:MODEL, a Hugging Face model by folder or name
        input: text file, plain or .gz; null: standard input
        output: file to write; null: standard output
        format: text: an output per line; jsonl: a JSON object with all outputs
        beam: beam width; 1: greedy
        length_penalty: length penalty of beam search: scores are divided by length ** penalty
        keep: with format=jsonl, outputs of the beam per input, best first
        samples: outputs to sample per input; 0: no sampling
        top_k: sample from this many most likely tokens; 0: all
        seed: seed of the samples
        lines: inputs in memory at a time
        source_prefix: of hf: text before every input
        separator: of a decoder-only hf: text after every input
        chat: of hf: an input is a message of the user, for which the chat template is used
        source_limit: of hf: longest input in tokens
        horizon: of hf: longest output in tokens
    """

    run: str | None = None
    input: str | None = None
    output: str | None = None
    format: Literal["text", "jsonl"] = "text"
    beam: Beam = 1
    length_penalty: Penalty = 1.0
    keep: Beam = 1
    samples: Annotated[int, Range(0, 1000)] = 0
    top_k: Annotated[int, Range(0, 10**6)] = 0
    seed: Seed = 0
    lines: Count = 1000
    source_prefix: str = ""
    separator: str = ""
    chat: bool = False
    source_limit: Annotated[int, Range(2, 65_536)] = 512
    horizon: Annotated[int, Range(1, 65_536)] = 256
