"""A policy without attention, an example of a student in one file.

PYTHONPATH=docs/examples python experiments/dagger.py env=Copy-v0 student=bag_of_words.BagOfWords
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from textgen_env.types import PAD


@dataclass
class State:
    """What a decoding step needs of the source: the mean of its embeddings, ``[B, D]``."""

    mean: Tensor

    def select(self, index: Tensor) -> "State":
        """Keep or reorder rows."""
        return State(self.mean[index])


class BagOfWords(nn.Module):
    """Predict the next token from the last one and the mean of the source's embeddings.

    Args:
        vocabulary_size: V, which the command provides.
        width: size of the embeddings and of the hidden layer.
    """

    def __init__(self, vocabulary_size: int, width: int = 64) -> None:
        super().__init__()
        self.vocabulary_size, self.feature_width = vocabulary_size, width
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.hidden = nn.Linear(2 * width, width)
        self.head = nn.Linear(width, vocabulary_size)

    def forward(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits ``[B, T, V]``, or ``[N, V]`` with a mask."""
        return self.head(self.features(source, prefix, mask))

    def features(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[B, T, D]``, or ``[N, D]`` with a mask ``[B, T]``."""
        last, mean = self.embedding(prefix), self.mean(source)[:, None].expand(*prefix.shape, -1)
        features = self.hidden(torch.cat([last, mean], -1)).relu()
        return features if mask is None else features[mask.to(features.device)]

    def start(self, source: Tensor, limit: int) -> State:
        """Encode the source once."""
        return State(self.mean(source))

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits ``[B, V]`` after the last token ``[B]``."""
        features = self.hidden(torch.cat([self.embedding(token), state.mean], -1)).relu()
        return self.head(features), state

    def mean(self, source: Tensor) -> Tensor:
        """The mean of the source's embeddings, ``[B, D]``."""
        real = (source != PAD)[..., None]
        return (self.embedding(source) * real).sum(1) / real.sum(1).clamp(min=1)
