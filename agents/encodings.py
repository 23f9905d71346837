"""What a frozen encoder makes of a corpus's sources, kept within a memory bound: no sentence is read anew every epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from textgen_env.oracle import source_key

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
        ordered = sorted(distinct.items(), key=lambda item: len(item[1]))
        companies = [ordered[start : start + COMPANY] for start in range(0, len(ordered), COMPANY)]
        size = sum(len(company) * len(company[-1][1]) for company in companies) * width * 4  # padded to its longest, the last
        share = min(1.0, megabytes * 2**20 / max(1, size))
        chosen = np.unique(np.floor(np.arange(int(share * len(companies))) / max(share, 1e-9)).astype(int)).tolist()
        self.company = [[source for _, source in companies[i]] for i in chosen]
        self.place = {key: (place, row) for place, i in enumerate(chosen) for row, (key, _) in enumerate(companies[i])}
        self.share = len(self.place) / max(1, len(distinct))
        self.kept: dict[int, Tensor] = {}  # [rows, S, D] of each company asked for so far

    def __call__(self, source: Tensor) -> Tensor:
        """Encoder outputs ``[B, S, D]``; what stands at padded positions is finite and means nothing."""
        places = [self.place.get(source_key(row)) for row in source.cpu().numpy()]
        strange = [row for row, place in enumerate(places) if place is None]
        if len(strange) == len(places):
            return self.encode(source)
        parts = [None if place is None else self._of(place[0], source.device)[place[1]] for place in places]
        first = next(part for part in parts if part is not None)
        found = first.new_zeros(*source.shape, self.width)  # [B, S, D]
        if strange:
            rows = torch.tensor(strange, device=source.device)
            found[rows] = self.encode(source[rows])
        for row, part in enumerate(parts):
            if part is not None:
                length = min(len(part), source.shape[1])
                found[row, :length] = part[:length]
        return found

    def _of(self, place: int, device: torch.device) -> Tensor:
        if place not in self.kept:
            sources = [torch.from_numpy(source) for source in self.company[place]]
            self.kept[place] = self.encode(pad_sequence(sources, batch_first=True).to(device))  # PAD is 0
        return self.kept[place]
