"""What a person sees of an episode: the source, the text so far and where it leaves the expert, the expert's next choices."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from rich.table import Table
from rich.text import Text

from textgen_env.data.vocabulary import Vocabulary
from textgen_env.terminal import Terminal, visible
from textgen_env.types import UNK

CHOICES = 5
WORTH = 0.005  # a choice less probable than this is not shown
WIDTH = 100


class Transcript:
    """One episode as it is generated; ``show`` draws where it stands.  Nothing is kept of the episode before."""

    def __init__(self, vocabulary: Vocabulary, task_id: str) -> None:
        self.vocabulary, self.task_id = vocabulary, task_id

    def begin(self, split: str, index: int, source: str, limit: int) -> None:
        """A new episode of at most ``limit`` actions, none taken yet."""
        self.place, self.source, self.limit = f"{split} {index}", source, limit
        self.actions: list[int] = []
        self.rewards: list[float] = []
        self.wanted: list[int] = []  # the expert's most likely token at every state so far
        self.verdict = ""
        self.closing: dict[str, object] = {}
        self.expert = np.zeros(0)

    def advise(self, log_probs: np.ndarray) -> None:
        """The expert's distribution ``[V]`` at the state reached."""
        self.expert = np.exp(log_probs)
        self.wanted.append(int(log_probs.argmax()))

    def act(self, action: int, reward: float) -> None:
        """What was done there, and what it earned."""
        wanted = self.wanted[len(self.actions)]
        self.verdict = f"{self._name(action)} ({self.expert[action]:.2f})"
        self.verdict += (
            " = the expert's"
            if action == wanted
            else f" ≠ the expert's {self._name(wanted)} ({self.expert[wanted]:.2f})"
        )
        self.actions.append(action)
        self.rewards.append(reward)

    def end(self, closing: dict[str, object]) -> None:
        """The episode is over; ``closing`` is drawn as it is, a line each."""
        self.closing = closing

    def show(self) -> Table:
        """A drawing for any width and any number of colors."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row(Text(self.task_id, style="bold not dim"), self._heading())
        table.add_row("source", Text(visible(self.source)))
        table.add_row("generated", self._output())
        if self.actions:
            agrees = self.actions[-1] == self.wanted[len(self.actions) - 1]
            table.add_row("action", Text(self.verdict, style="green" if agrees else "red"))
        if self.closing:
            for name, value in self.closing.items():
                shown = f"{value:.1f}" if isinstance(value, float) else visible(str(value))
                table.add_row(name, Text(shown, style="cyan"))
        else:
            table.add_row("expert", self._choices())
        return table

    def _heading(self) -> Text:
        steps = f"{self.place} · step {len(self.actions)} of {self.limit}"
        earned = (
            f" · reward {self.rewards[-1]:+.3g} · return {sum(self.rewards):+.3g}"
            if self.rewards
            else ""
        )
        return Text(steps + earned, style="bold")

    def _output(self) -> Text:
        """The text so far; ``‹taken≠expert's›`` where they differ."""
        text = Text()
        shown = map(visible, pieces(self.vocabulary, self.actions))
        for piece, action, wanted in zip(shown, self.actions, self.wanted, strict=False):
            if action == wanted:
                text.append(piece)
            else:
                blank = " " * (len(piece) - len(piece.lstrip()))
                text.append(f"{blank}‹{piece.lstrip()}≠{self._name(wanted)}›", style="red")
        return text if text else Text("(nothing yet)", style="dim")

    def _choices(self) -> Text:
        best = np.argsort(-self.expert, kind="stable")[:CHOICES]
        best = best[self.expert[best] >= min(WORTH, self.expert.max())]
        shown = [f"{self._name(token)} {self.expert[token]:.2f}" for token in best.tolist()]
        return Text(shown[0], style="bold green").append(
            "  ·  ".join(["", *shown[1:]]), style="not bold default"
        )

    def _name(self, token: int) -> str:
        return visible(self.vocabulary.tokens[token])


def pieces(vocabulary: Vocabulary, tokens: Sequence[int]) -> list[str]:
    """What each token adds to the text, blanks included; special tokens by name."""
    shown: list[str] = []
    words: list[int] = []
    before = ""
    for token in tokens:
        if token <= UNK:
            shown.append((" " if shown else "") + vocabulary.tokens[token])
            continue
        words.append(token)
        after = vocabulary.decode(words)
        piece = after.removeprefix(before)
        shown.append(piece if piece.startswith(" ") or not shown or before else f" {piece}")
        before = after
    return shown


def plain(drawing: Table) -> str:
    """As text without colors, ``WIDTH`` characters wide, no trailing blanks."""
    console = Terminal(file=io.StringIO(), width=WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(drawing)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def colored(drawing: Table) -> None:
    """Print it, in color where the terminal has any."""
    Terminal().print(drawing, "")
