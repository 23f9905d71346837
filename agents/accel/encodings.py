"""What a frozen encoder makes of a corpus's sources, kept within a memory bound: no sentence is read anew every epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from textgen_env.oracles.references import source_key
from textgen_env.types import PAD

COMPANY = 64  # sources that are encoded together


class Encodings:
    """``encode`` ``[B, S]`` → ``[B, S, D]`` for sources that may be asked about often.

    Sources of like length are encoded in fixed company when one of them is first asked for, so what is kept depends neither
    on when that was nor on with whom: a resumed training sees the same bits.  If not all fit, every so many companies are
    kept, and the others' sources encoded with whom they come.  Under one precision; no gradient flows.

    encode: what does not change any more.  width: D.  megabytes: the bound, reckoned in float32.
    """

    def __init__(self, encode: Callable[[Tensor], Tensor], sources: Sequence[np.ndarray], width: int, megabytes: float) -> None:
        self.encode, self.width = encode, width
        distinct = {source_key(source): source for source in sources}
        ordered = sorted(distinct.values(), key=len)
        companies = [ordered[start : start + COMPANY] for start in range(0, len(ordered), COMPANY)]
        self.companies = _spread(companies, int(megabytes * 2**20 / (4 * width)))
        self.place: dict[bytes, tuple[int, int, int]] = {}  # a source's company, first position in ``kept`` and length
        self.positions = 0
        for number, company in enumerate(self.companies):
            for source in company:
                self.place[source_key(source)] = number, self.positions, len(source)
                self.positions += len(source)
        self.share = len(self.place) / max(1, len(distinct))
        self.kept: Tensor | None = None  # [positions, D], in one piece: many would lie scattered among what comes and goes
        self.read: set[int] = set()  # companies that are in it

    def __call__(self, source: Tensor) -> Tensor:
        """Encoder outputs ``[B, S, D]``; what stands at padded positions is finite and means nothing."""
        places = [self.place.get(source_key(row)) for row in source.cpu().numpy()]
        known = [(row, *place) for row, place in enumerate(places) if place is not None]
        if not known:
            return self.encode(source)
        kept = self._with({company for _, company, _, _ in known}, source.device)
        here = np.concatenate([row * source.shape[1] + np.arange(length) for row, _, _, length in known])
        there = np.concatenate([start + np.arange(length) for _, _, start, length in known])
        found = kept.new_zeros(source.numel(), self.width)  # [B·S, D]
        found[torch.from_numpy(here).to(source.device)] = kept[torch.from_numpy(there).to(source.device)]
        found = found.view(*source.shape, self.width)  # [B, S, D]
        if len(known) < len(places):
            strange = torch.tensor([place is None for place in places], device=source.device)
            found[strange] = self.encode(source[strange])
        return found

    def _with(self, companies: set[int], device: torch.device) -> Tensor:
        """``kept``, with ``companies`` in it."""
        for number in sorted(companies - self.read):
            sources = [torch.from_numpy(source) for source in self.companies[number]]
            padded = pad_sequence(sources, batch_first=True).to(device)  # [rows, S]; PAD is 0
            encoded = self.encode(padded)[padded != PAD]  # [n, D]
            if self.kept is None:
                with torch.inference_mode(False):  # else it could not be written to outside of that mode
                    self.kept = encoded.new_empty(self.positions, self.width)
            start = self.place[source_key(self.companies[number][0])][1]
            self.kept[start : start + len(encoded)] = encoded
            self.read.add(number)
        assert self.kept is not None
        return self.kept


def _spread(companies: list[list[np.ndarray]], most: int) -> list[list[np.ndarray]]:
    """All of them, or some, evenly among short and long, that have at most ``most`` positions together."""
    sizes = [sum(map(len, company)) for company in companies]
    chosen, passed, taken = [], 0, 0
    for company, size in zip(companies, sizes, strict=True):
        passed += size
        if taken + size <= passed * min(most, sum(sizes)) // sum(sizes):
            chosen.append(company)
            taken += size
    return chosen
