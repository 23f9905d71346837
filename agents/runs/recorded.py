"""A black-box teacher: recorded outputs of a model that cannot be queried."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from textgen_env.data.outputs import RecordedOutputs, read_outputs, sha256
from textgen_env.oracles.texts import TextOracle
from textgen_env.tasks.task import Task
from textgen_env.types import EOS

SPLIT = "{split}"


def recorded_files(path: str) -> dict[str, Path]:
    """The files of recorded outputs by split; only train if the name does not say ``{split}``."""
    splits = ("train", "test") if SPLIT in path else ("train",)
    return {split: Path(path.replace(SPLIT, split)) for split in splits}


class RecordedOracle(TextOracle):
    """The outputs of a model for the training sources, and possibly for the test sources.

    Args:
        task: its sources are those of the outputs.
        path: a file as in ``read_outputs``; ``{split}`` in its name stands for train and test.
        normalize: the preprocessing of the task's texts.
    """

    def __init__(self, task: Task, path: str, normalize: Callable[[str], str] = str) -> None:
        super().__init__(len(task.vocabulary), f"outputs:{path} has only texts")
        self.task, self.files, self.normalize = task, recorded_files(path), normalize

    @property
    def sha256(self) -> dict[str, str]:
        """The hash of each file, by split."""
        return {split: sha256(path) for split, path in self.files.items()}

    @cached_property
    def outputs(self) -> dict[str, RecordedOutputs]:
        """The outputs for all pairs of the corpus, by split.

        Raises:
            UserError: a file is missing, malformed or incomplete.
        """
        corpus = self.task.corpus.splits
        return {
            split: read_outputs(path, corpus[split], self.normalize)
            for split, path in self.files.items()
        }

    @property
    def test(self) -> list[str] | None:
        """The first output for each test source; None without a file for them."""
        if "test" not in self.files:
            return None
        return [next(iter(texts), "") for texts in self.outputs["test"].texts]

    def hypotheses(self) -> list[list[Tensor]]:
        """The outputs for each row of the training split as actions, the best first.

        Those of more tokens than the horizon are left out.
        """
        pairs, kept = self.task.corpus.splits["train"], self.task.splits["train"].texts
        # the split has no pairs over its limits, but all others, in order
        present = set(zip(kept.sources, kept.references, strict=True))
        texts = [
            texts
            for *pair, texts in zip(
                pairs.sources, pairs.references, self.outputs["train"].texts, strict=True
            )
            if tuple(pair) in present
        ]
        encoded = iter(self.task.vocabulary.encode_many([text for row in texts for text in row]))
        rows = [[torch.tensor([*next(encoded), EOS]) for _ in row] for row in texts]
        return [[action for action in row if len(action) <= self.task.horizon] for row in rows]
