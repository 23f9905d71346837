"""The summarisation corpus that the project writes itself: English news or dialogues, each with several right summaries."""

from __future__ import annotations

from random import Random

from textgen_env.bundled.dialogues import DIALOGUES
from textgen_env.bundled.news import NEWS
from textgen_env.bundled.phrases import Pen
from textgen_env.bundled.stories import Story, read, tell

GENRES = {"news": NEWS, "dialogues": DIALOGUES}


def generate(genre: str, seed: int = 0, train: int = 10_000, valid: int = 1_000, test: int = 1_000) -> dict[str, list[Story]]:
    """``{"train": [Story, …], "valid": …, "test": …}``: lower case, tokens separated by spaces.

    Deterministic in the arguments.  No document occurs twice, within a split or across them.
    """
    kinds, asides = read(GENRES[genre])
    pen = Pen(Random(seed))
    stories: dict[str, Story] = {}
    while len(stories) < train + valid + test:
        story = tell(pen, pen.pick(kinds), asides)
        stories.setdefault(story.document, story)
    found = list(stories.values())
    return {"test": found[:test], "valid": found[test : test + valid], "train": found[test + valid :]}
