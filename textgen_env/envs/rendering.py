"""Text rendering of an episode: source, output, and how they compare with the expert."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from rich.table import Table
from rich.text import Text

from textgen_env.data.vocabulary import Vocabulary
from textgen_env.terminal import Terminal, escape_controls
from textgen_env.types import UNK

MAX_CANDIDATES = 5
MIN_PROBABILITY = 0.005  # of a candidate shown
WIDTH = 100


class Transcript:
    """The current episode, step by step, for rendering; ``table`` draws it."""

    def __init__(self, vocabulary: Vocabulary, task_id: str) -> None:
        self.vocabulary, self.task_id = vocabulary, task_id

    def start(self, split: str, index: int, source: str, limit: int) -> None:
        """Start a new episode of at most ``limit`` actions."""
        self.row, self.source, self.limit = f"{split} {index}", source, limit
        self.actions: list[int] = []
        self.rewards: list[float] = []
        self.expert_actions: list[int] = []  # the most likely token in every state so far
        self.last_action = ""
        self.final_info: dict[str, object] = {}
        self.expert_probs = np.zeros(0)

    def set_expert(self, log_probs: np.ndarray) -> None:
        """Set the expert's distribution ``[V]`` in the current state."""
        self.expert_probs = np.exp(log_probs)
        self.expert_actions.append(int(log_probs.argmax()))

    def act(self, action: int, reward: float) -> None:
        """Record an action and its reward."""
        expert_action = self.expert_actions[len(self.actions)]
        self.last_action = self._with_probability(action)
        if action == expert_action:
            self.last_action += " = the expert's"
        else:
            self.last_action += f" ≠ the expert's {self._with_probability(expert_action)}"
        self.actions.append(action)
        self.rewards.append(reward)

    def end(self, final_info: dict[str, object]) -> None:
        """End the episode; the table shows one row for each entry of ``final_info``."""
        self.final_info = final_info

    def table(self) -> Table:
        """Draw the episode so far."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row(Text(self.task_id, style="bold not dim"), self._heading())
        table.add_row("source", Text(escape_controls(self.source)))
        table.add_row("generated", self._output())
        if self.actions:
            agrees = self.actions[-1] == self.expert_actions[len(self.actions) - 1]
            table.add_row("action", Text(self.last_action, style="green" if agrees else "red"))
        for name, value in self.final_info.items():
            text = f"{value:.1f}" if isinstance(value, float) else escape_controls(str(value))
            table.add_row(name, Text(text, style="cyan"))
        if not self.final_info:
            table.add_row("expert", self._candidates())
        return table

    def _heading(self) -> Text:
        heading = f"{self.row} · step {len(self.actions)} of {self.limit}"
        if self.rewards:
            heading += f" · reward {self.rewards[-1]:+.3g} · return {sum(self.rewards):+.3g}"
        return Text(heading, style="bold")

    def _output(self) -> Text:
        """The output, with ``‹action≠expert action›`` where they differ."""
        text = Text()
        pieces = map(escape_controls, token_texts(self.vocabulary, self.actions))
        for piece, action, expert_action in zip(
            pieces, self.actions, self.expert_actions, strict=False
        ):
            if action == expert_action:
                text.append(piece)
            else:
                blank = " " * (len(piece) - len(piece.lstrip()))
                difference = f"‹{piece.lstrip()}≠{self._name(expert_action)}›"
                text.append(blank + difference, style="red")
        return text if text else Text("(nothing yet)", style="dim")

    def _candidates(self) -> Text:
        probs = self.expert_probs
        best = np.argsort(-probs, kind="stable")[:MAX_CANDIDATES]
        best = best[probs[best] >= min(MIN_PROBABILITY, probs.max())]
        first, *others = [f"{self._name(token)} {probs[token]:.2f}" for token in best.tolist()]
        return Text(first, style="bold green").append(
            "  ·  ".join(["", *others]), style="not bold default"
        )

    def _name(self, token: int) -> str:
        return escape_controls(self.vocabulary.tokens[token])

    def _with_probability(self, token: int) -> str:
        return f"{self._name(token)} ({self.expert_probs[token]:.2f})"


def token_texts(vocabulary: Vocabulary, tokens: Sequence[int]) -> list[str]:
    """The text that each token adds to the output, blanks included; special tokens by name."""
    texts: list[str] = []
    words: list[int] = []  # the tokens that are not special
    before = ""
    for token in tokens:
        if token <= UNK:
            texts.append((" " if texts else "") + vocabulary.tokens[token])
            continue
        words.append(token)
        after = vocabulary.decode(words)
        text = after.removeprefix(before)
        texts.append(text if text.startswith(" ") or not texts or before else f" {text}")
        before = after
    return texts


def to_text(table: Table) -> str:
    """The table as text without colors, ``WIDTH`` columns wide, without trailing blanks."""
    console = Terminal(file=io.StringIO(), width=WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def print_colored(table: Table) -> None:
    """Print the table and a blank line, in color if the terminal supports it."""
    Terminal().print(table, "")
