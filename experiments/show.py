"""Shows one sentence step by step, student against teacher: ``show.py run=RUN sentence=17``."""

from __future__ import annotations

from omegaconf import DictConfig

import cli
from agents.evaluation.sentence import analyze_sentence
from agents.generation.decoder import Decoder
from agents.precision import precision
from agents.reporting import sentence as view
from textgen_env.data.files import write_atomically
from textgen_env.terminal import console


def main(config: DictConfig) -> None:
    """Decode a sentence; print it and write it as a page into the run folder."""
    run = cli.open_run(config)
    run.teacher.check_probabilities("show.py")
    decoder = Decoder(run.student, config.beam, *run.machine, config.length_penalty)
    with precision(*run.machine):
        steps = analyze_sentence(
            run.student, decoder, run.teacher.oracle, run.task, config.split, config.sentence
        )
    console.print(view.terminal_view(steps, config.run))
    path = run.folder / f"sentence-{steps.split}-{steps.index}.html"
    write_atomically(path, view.html_page(steps, config.run).encode())
    console.print(f"page: {path}", soft_wrap=True)


if __name__ == "__main__":
    cli.run(main, "show")
