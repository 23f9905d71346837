"""Experts that give texts, but no probabilities of the student's tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from textgen_env.data.vocabulary import Vocabulary, difference
from textgen_env.errors import UserError
from textgen_env.oracles.references import source_key
from textgen_env.types import EOS, PAD, UNK, Trajectories, pad

Decode = Callable[[Tensor, int | Tensor], Trajectories]  # source [B, S], limit: one number or [B]
# What may be lost, by its name in ``ReencodingOracle.counts``.
LOSSES = {
    "sources": "sources change in the teacher's tokens",
    "truncated": "sources are truncated to the teacher's positions",
    "outputs": "outputs change in the student's tokens",
    "cut": "outputs exceed the student's limit",
}


class TextOracle:
    """An expert of which only texts are known.

    Args:
        vocabulary_size: V of the student.
        reason: why there are no probabilities, as a clause.
    """

    def __init__(self, vocabulary_size: int, reason: str) -> None:
        self.vocabulary_size, self.reason = vocabulary_size, reason
        self.queries = 0

    def log_probs(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> NoReturn:
        """Raise UserError: they are unknown."""
        raise self.error("this method")

    def action(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> NoReturn:
        """Raise UserError: it is unknown."""
        raise self.error("this method")

    def demonstrate(self, source: Tensor, limit: int | Tensor) -> Trajectories:
        """Raise UserError; subclasses may demonstrate."""
        raise self.error("this method")

    def error(self, method: str, advice: str = "") -> UserError:
        """The error for a ``method`` that needs more than texts."""
        end = f"; {advice}" if advice else ""
        return UserError(f"{method} queries the teacher token by token, but {self.reason}{end}")


class ReencodingOracle(TextOracle):
    """A policy with another vocabulary: it exchanges texts with the student.

    A source is decoded with the student's vocabulary and encoded with the teacher's; the output
    goes the other way. If the teacher needs r > 1 times as many tokens for a source as the student,
    it may generate r times the student's limit. An output beyond the student's limit is cut there,
    so it has no EOS.

    Args:
        policy: the teacher.
        decode: generates demonstrations, in the teacher's tokens.
        vocabulary: the teacher's.
        student: the student's.
        name: the teacher's, for messages.
        sources: the teacher's tokens by ``source_key`` of the student's, where decoding would not
            do, as for conversations.

    Attributes:
        counts: how many texts were changed or truncated, by the names in ``LOSSES``.
    """

    def __init__(
        self,
        policy: Any,
        decode: Decode,
        vocabulary: Vocabulary,
        student: Vocabulary,
        name: str = "",
        sources: Mapping[bytes, list[int]] | None = None,
    ) -> None:
        super().__init__(len(student), difference(vocabulary, student, name))
        self.sources = sources
        self.policy, self.vocabulary, self.student = policy, vocabulary, student
        self._decode = self.reencoded(decode)
        self.counts: Counter[str] = Counter()

    def demonstrate(self, source: Tensor, limit: int | Tensor) -> Trajectories:
        """See ``Oracle.demonstrate``; the scores are those of the teacher's tokens."""
        trajectories = self._decode(source, limit)
        self.queries += int(trajectories.length.sum())
        return trajectories

    def encode(self, source: Tensor) -> list[list[int]]:
        """The sources ``[B, S]`` in the teacher's tokens, without EOS at the end."""
        if self.sources is not None:
            try:
                return [self.sources[source_key(row)] for row in source.cpu().numpy()]
            except KeyError:
                raise self.error("a source that the task does not have") from None
        rows = source.tolist()
        texts = [self.student.decode(row) for row in rows]
        encoded = self.vocabulary.encode_many(texts)
        self.counts["sources"] += _changed(rows, texts, encoded, self.vocabulary)
        return encoded

    def reencoded(self, decode: Decode) -> Reencoder:
        """Turn ``decode``, a decoder of the teacher's tokens, into one of the student's tokens."""
        return Reencoder(self, decode)


class Reencoder:
    """A decoder of the student's tokens that has another vocabulary inside; see the oracle.

    Args:
        oracle: has both vocabularies.
        decode: generates in the teacher's tokens.
    """

    def __init__(self, oracle: ReencodingOracle, decode: Decode) -> None:
        self.oracle, self.decode = oracle, decode

    def __call__(self, source: Tensor, limit: int | Tensor) -> Trajectories:
        """The outputs in the student's tokens, of at most ``limit`` tokens each."""
        oracle, (output, texts) = self.oracle, self._generate(source, limit)
        actions, encoded = output.action.tolist(), oracle.student.encode_many(texts)
        oracle.counts["outputs"] += _changed(actions, texts, encoded, oracle.student)
        rows = [
            [*ids, EOS] if EOS in action else ids
            for ids, action in zip(encoded, actions, strict=True)
        ]
        limits = torch.as_tensor(limit).cpu().expand(len(source))  # [B]
        limits = limits.repeat_interleave(len(rows) // len(source))
        length = torch.tensor([*map(len, rows)])
        oracle.counts["cut"] += int((length > limits).sum())
        length = length.minimum(limits)
        action = _padded([row[:n] for row, n in zip(rows, length.tolist(), strict=True)])
        device = output.action.device
        return Trajectories(action.to(device), length.to(device), output.score)

    def texts(self, source: Tensor, limit: int | Tensor) -> list[str]:
        """The outputs as the teacher spells them."""
        return self._generate(source, limit)[1]

    def _generate(self, source: Tensor, limit: int | Tensor) -> tuple[Trajectories, list[str]]:
        """The outputs in the teacher's tokens and as texts."""
        oracle, encoded = self.oracle, self.oracle.encode(source)
        lengths = torch.tensor([len(ids) + 1 for ids in encoded])
        ratio = lengths / (source != PAD).sum(1).cpu()  # [B]
        limits = (torch.as_tensor(limit).cpu() * ratio.clamp(min=1)).ceil().long()
        if fit := getattr(oracle.policy, "fit", None):
            source_limit, horizon = fit(int(limits.max()))
            limits = limits.clamp(max=horizon)
            oracle.counts["truncated"] += int((lengths > source_limit).sum())
            encoded = [ids[: source_limit - 1] for ids in encoded]
        sources = _padded([[*ids, EOS] for ids in encoded]).to(source.device)
        output = self.decode(sources, limits)
        actions = output.action.tolist()
        return output, [oracle.vocabulary.decode(action).strip() for action in actions]


def _changed(
    before: list[list[int]], texts: list[str], after: list[list[int]], vocabulary: Vocabulary
) -> int:
    """Number of texts with a token UNK, or with another text in the tokens of ``vocabulary``."""
    return sum(
        UNK in ids or UNK in encoded or vocabulary.decode(encoded) != text
        for ids, text, encoded in zip(before, texts, after, strict=True)
    )


def _padded(rows: list[list[int]]) -> Tensor:
    arrays = [np.array(row, dtype=np.int64) for row in rows]
    return torch.from_numpy(pad(arrays, max(1, *map(len, rows))))
