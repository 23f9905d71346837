"""One sentence, step by step, student against teacher: ``python experiments/show.py run=RUN sentence=17``, or ``--help``."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

import command_line
import distil
from agents.evaluation.sentence import look
from agents.generation.decoder import Decoder
from agents.precision import precision
from agents.reporting import sentence as view
from reopen import reopen
from textgen_env.data.files import write_atomically
from textgen_env.errors import UserError
from textgen_env.terminal import console


def main(config: DictConfig) -> None:
    """A run folder → the sentence in the terminal, and as a page in the folder."""
    if config.run is None:
        raise UserError("name a finished run folder: run=RUN")
    on = distil.machine(config)
    run = reopen(config.run, config.device, config.precision)
    write = Decoder(run.student, config.beam, on.precision, on.device, config.length_penalty)
    with precision(on.precision, on.device):
        seen = look(run.student, write, run.teacher.oracle, run.task, config.split, config.sentence)
    console.print(view.drawing(seen, config.run))
    path = Path(config.run) / f"sentence-{seen.split}-{seen.index}.html"
    write_atomically(path, view.page(seen, config.run).encode())
    console.print(f"page: {path}", soft_wrap=True)


if __name__ == "__main__":
    command_line.run(main, "show")
