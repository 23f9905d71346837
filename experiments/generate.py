"""Generate text: ``python experiments/generate.py run=RUN < input.txt > output.txt``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO

import openmp  # noqa: F401  (before torch)

from omegaconf import DictConfig

import cli
from agents.generation.decoder import Decoder
from agents.model import Hypothesis, Model
from agents.runs.machine import use_machine
from agents.runs.model import open_model
from textgen_env.data.chat import read_prompt
from textgen_env.data.chat_template import ChatTemplate
from textgen_env.data.files import MAX_TEXT, stream_lines
from textgen_env.errors import UserError
from textgen_env.terminal import console, escape_controls, safe_json

SEARCH = ("beam", "length_penalty", "keep", "samples", "top_k", "seed")
OF_PRETRAINED = ("source_prefix", "separator", "source_limit", "horizon")


def main(config: DictConfig) -> None:
    """Model → lines → outputs in the same order, in constant memory."""
    if config.run is None:
        raise UserError("give run=RUN, a run folder, or run=hf:MODEL")
    count = config.samples or config.keep
    if config.format == "text" and count > 1:
        raise UserError(f"format=text has one output per line, not {count}; use format=jsonl")
    if (
        config.input
        and config.output
        and os.path.realpath(config.input) == os.path.realpath(config.output)
    ):
        raise UserError(f"output={config.output}: would overwrite the input; name another file")
    machine = use_machine(config)
    pretrained = {name: config[name] for name in OF_PRETRAINED}
    template = ChatTemplate() if config.chat else None
    model = open_model(config.run, **pretrained, template=template)
    model.policy.to(machine.device)
    decoder = model.decoder(machine.precision, **{name: config[name] for name in SEARCH})
    numbered = enumerate(stream_lines(Path(config.input)) if config.input else standard_input())
    if model.text_settings.template and config.format == "jsonl":
        numbered = ((i, read_prompt(line, f"line {i + 1}")) for i, line in numbered)
    chunk = list(islice(numbered, config.lines))  # before the output is opened: the input may fail
    with ExitStack() as stack:
        output = sys.stdout
        if config.output is not None:
            output = stack.enter_context(open(config.output, "w", encoding="utf-8"))
        while chunk:
            write(output, config.format, chunk, generate(model, chunk, decoder))
            console.print(f"{chunk[-1][0] + 1:,} lines")
            chunk = list(islice(numbered, config.lines))


def standard_input() -> Iterator[str]:
    """As ``stream_lines``, for a pipe.

    Raises:
        UserError: a line is not UTF-8 or too long.
    """
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            text = line.decode("utf-8").removesuffix("\n").rstrip("\r")
        except UnicodeDecodeError as error:
            raise UserError(f"standard input:{number}: not UTF-8 ({error.reason})") from error
        if len(text) > MAX_TEXT:
            raise UserError(
                f"standard input:{number}: {len(text):,} characters, at most {MAX_TEXT:,}"
            )
        yield text


def generate(
    model: Model, chunk: list[tuple[int, str]], decoder: Decoder
) -> list[list[Hypothesis]]:
    """The outputs of each numbered line; a blank line has one, empty."""
    kept = [place for place, (_, text) in enumerate(chunk) if text.strip()]
    outputs = [[Hypothesis("", 0.0)] for _ in chunk]
    numbers, texts = zip(*(chunk[place] for place in kept), strict=True) if kept else ((), ())
    for place, note in model.encode(texts).notes.items():
        console.print(f"line {numbers[place] + 1}: {note}")
    found = model.hypotheses(texts, decoder, numbers)
    for place, hypotheses in zip(kept, found, strict=True):
        outputs[place] = hypotheses
    return outputs


def write(
    file: IO[str], kind: str, chunk: list[tuple[int, str]], outputs: list[list[Hypothesis]]
) -> None:
    """One line per input."""
    for (_, source), hypotheses in zip(chunk, outputs, strict=True):
        if kind == "text":
            line = " ".join(hypotheses[0].text.splitlines())
            line = escape_controls(line) if file.isatty() else line
        else:
            found = [{"text": text, "score": round(score, 4) + 0.0} for text, score in hypotheses]
            line = safe_json(json.dumps({"source": source, "outputs": found}, ensure_ascii=False))
        file.write(line + "\n")
    file.flush()


if __name__ == "__main__":
    cli.run(main, "generate")
