"""CTranslate2 on our transformers, exported: the same network and weights, in the type ``amp``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from agents.interop import ctranslate2 as export
from benchmarks.material import LENGTH, Decoding, Setup, Work, sources, transformer
from textgen_env.data.vocabulary import Vocabulary


class Contender:
    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.vocabulary = Vocabulary.from_words([str(i) for i in range(setup.vocabulary - 4)])
        self.folder = TemporaryDirectory()  # as long as the process
        self.exported = cache(self._export)

    def _export(self, size: str, amp: str) -> Path:
        folder = Path(self.folder.name) / f"{size}-{amp}"
        spec = export.specification(transformer(self.setup, size), self.vocabulary, LENGTH)
        spec.optimize(quantization=amp)
        folder.mkdir()
        spec.save(str(folder))
        return folder

    def decode(self, size: str, amp: str, workers: int, **settings: int) -> Work:
        """All batches of ``Decoding(**settings)`` at once; counts tokens."""
        rows, width, steps, count = Decoding(**settings)
        model = export.load(self.exported(size, amp), workers, torch.get_num_threads())
        decode, source = (
            export.decoder(model, self.vocabulary, rows, width),
            torch.cat(sources(self.setup, rows, count)),
        )
        return Work(lambda: int(decode(source, steps).length.sum()))
