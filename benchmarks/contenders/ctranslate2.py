"""CTranslate2 with our transformers: the same network and weights, in the type ``amp``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from agents.interop import ctranslate2 as export
from benchmarks.material import MAX_LENGTH, Decoding, Setup, Work, sources, transformer
from textgen_env.data.vocabulary import Vocabulary


class Contender:
    """Decodes in CTranslate2."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.vocabulary = Vocabulary.from_words([str(i) for i in range(setup.vocabulary - 4)])
        self.folder = TemporaryDirectory()  # kept until the process ends
        self.exported = cache(self._export)

    def _export(self, size: str, amp: str) -> Path:
        folder = Path(self.folder.name) / f"{size}-{amp}"
        policy = transformer(self.setup, size)
        spec = export.specification(policy, self.vocabulary, MAX_LENGTH)
        spec.optimize(quantization=amp)
        folder.mkdir()
        spec.save(str(folder))
        return folder

    def decode(self, size: str, amp: str, workers: int, **settings: int) -> Work:
        """Decode all batches of ``Decoding(**settings)`` in one call; counts tokens."""
        rows, width, steps, count = Decoding(**settings)
        model = export.load_translator(self.exported(size, amp), workers, torch.get_num_threads())
        decode = export.translator_decoder(model, self.vocabulary, rows, width)
        source = torch.cat(sources(self.setup, rows, count))
        return Work(lambda: int(decode(source, steps).length.sum()))
