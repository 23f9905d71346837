"""The keys of ``experiments/generate.py``."""

from __future__ import annotations

from dataclasses import dataclass

from conf import BEAM, COUNT, PENALTY, SEED, Machine, key
from textgen_env.errors import Range


@dataclass
class Config(Machine):
    """Generate text with a trained student: one input per line, one output per line.

    For a chat model, a line is a message of the user; with format=jsonl, it is a JSON object with
    messages or a prompt.
    """

    run: str | None = key(None, "run folder, or hf:MODEL, a Hugging Face model by folder or name")
    input: str | None = key(None, "text file, plain or .gz; null: standard input")
    output: str | None = key(None, "file to write; null: standard output")
    format: str = key("text", "text: an output per line; jsonl: a JSON object with all outputs")
    beam: int = key(1, "beam width; 1: greedy", BEAM)
    length_penalty: float = key(1.0, PENALTY, Range(0, 100))
    keep: int = key(1, "with format=jsonl, outputs of the beam per input, best first", BEAM)
    samples: int = key(0, "outputs to sample per input; 0: no sampling", Range(0, 1000))
    top_k: int = key(0, "sample from this many most likely tokens; 0: all", Range(0, 10**6))
    seed: int = key(0, "seed of the samples", SEED)
    lines: int = key(1000, "inputs in memory at a time", COUNT)
    source_prefix: str = key("", "of hf: text before every input", empty=True)
    separator: str = key("", "of a decoder-only hf: text after every input", empty=True)
    chat: bool = key(
        False, "of hf: an input is a message of the user, for which the chat template is used"
    )
    source_limit: int = key(512, "of hf: longest input in tokens", Range(2, 65_536))
    horizon: int = key(256, "of hf: longest output in tokens", Range(1, 65_536))
