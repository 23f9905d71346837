"""Recurrent layers over time-major sequences ``[T, B, D]``: GRU and LSTM by torch, SRU (Lei et al. 2018) written out.

A cell reads forward: ``forward(x, start)`` a whole sequence, ``step(x, hidden)`` one position. Its
hidden state begins from ``begin(start)``, with ``start`` ``[B, W]``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from agents.policies.layers import linear

Hidden = tuple[Tensor, ...]  # what a cell remembers between two steps: tensors [B, W], float32
HIGHWAY = math.sqrt(
    3
)  # keeps the variance from layer to layer while reset gates are half open (Lei et al. 2018, section 3)


class Layer(nn.Module):
    """A recurrent layer, or two that read in opposite directions.

    Args:
        cell: The cell's class.
        inputs: Width of the input.
        width: W, of the hidden state.
        directions: 1, or 2 for the concatenated outputs of both.
        projection: Width to which the input is projected first; 0 for none.
        layer_norm: Normalize the input.
    """

    def __init__(
        self,
        cell: type[nn.Module],
        inputs: int,
        width: int,
        directions: int,
        projection: int,
        layer_norm: bool,
    ) -> None:
        super().__init__()
        self.width = width
        self.norm = nn.LayerNorm(inputs) if layer_norm else nn.Identity()
        self.project = linear(inputs, projection, bias=False) if projection else nn.Identity()
        self.cells = nn.ModuleList(cell(projection or inputs, width) for _ in range(directions))

    def forward(self, x: Tensor, start: Tensor | None = None, back: Tensor | None = None) -> Tensor:
        """Read sequences.

        Args:
            x: ``[T, B, inputs]``.
            start: ``[B, W]``, the state before the first step; None: 0.
            back: ``backwards`` of the rows' lengths, for the second direction.

        Returns:
            ``[T, B, directions·W]``.
        """
        x = self.project(self.norm(x))
        start = x.new_zeros(x.shape[1], self.width, dtype=torch.float32) if start is None else start
        output = self.cells[0](x, start)
        if back is None:
            return output
        return torch.cat([output, reverse(self.cells[1](reverse(x, back), start), back)], 2)

    def begin(self, start: Tensor) -> Hidden:
        """The hidden state that ``start`` ``[B, W]`` stands for."""
        return self.cells[0].begin(start)  # type: ignore[operator]

    def step(self, x: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        """One step forward: ``[B, inputs]`` → ``[B, W]``, and the hidden state after it."""
        return self.cells[0].step(self.project(self.norm(x)), hidden)  # type: ignore[operator]


def backwards(length: Tensor, steps: int) -> Tensor:
    """Where each of ``[T, B]`` positions is read from when rows of ``length`` ``[B]`` are reversed; its own inverse.

    A row is reversed within its length, so a second direction never sees padding.
    """
    time = torch.arange(steps, device=length.device)[:, None]  # [T, 1]
    return torch.where(time < length, length - 1 - time, time)  # [T, B]


def reverse(x: Tensor, back: Tensor) -> Tensor:
    """``x`` ``[T, B, D]`` with each row reversed as ``back`` ``[T, B]`` says."""
    return x[back, torch.arange(x.shape[1], device=x.device)]


class GRU(nn.GRU):
    """nn.GRU, with single steps by the same weights."""

    def forward(self, x: Tensor, start: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x, start[None])[0]

    def begin(self, start: Tensor) -> Hidden:
        return (start,)

    def step(self, x: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        output = torch.gru_cell(x, *hidden, *self.parameters())
        return output, (output,)


class LSTM(nn.LSTM):
    """nn.LSTM, with single steps by the same weights; its memory cell begins as its output does."""

    def forward(self, x: Tensor, start: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x, (start[None], start[None]))[0]

    def begin(self, start: Tensor) -> Hidden:
        return start, start

    def step(self, x: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        hidden = torch.lstm_cell(x, hidden, *self.parameters())
        return hidden[0], hidden


class SRU(nn.Module):
    """Simple recurrent unit (Lei et al. 2018, equations 1-4): only element-wise work waits for the step before.

    f_t = σ(W_f x_t + v_f ⊙ c_{t-1} + b_f);  c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ W x_t;
    r_t = σ(W_r x_t + v_r ⊙ c_{t-1} + b_r);  h_t = r_t ⊙ c_t + (1 - r_t) ⊙ √3 x_t, with a matrix in
    place of √3 where the widths differ. The matrices meet all steps at once; c is float32.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.matrices = nn.Linear(
            inputs, width * (3 if inputs == width else 4), bias=False
        )  # W, W_f, W_r, highway
        self.peephole = nn.Parameter(torch.empty(2, width))  # v_f, v_r
        self.bias = nn.Parameter(torch.zeros(2, width))  # b_f, b_r
        nn.init.uniform_(self.matrices.weight, -math.sqrt(3 / inputs), math.sqrt(3 / inputs))
        nn.init.uniform_(self.peephole, -math.sqrt(3 / width), math.sqrt(3 / width))

    def forward(self, x: Tensor, start: Tensor) -> Tensor:
        return self.run(x, start)[0]

    def begin(self, start: Tensor) -> Hidden:
        return (start,)

    def step(self, x: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        output, cell = self.run(x[None], *hidden)
        return output[0], (cell,)

    def run(self, x: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """``[T, B, inputs]``, c_0 ``[B, W]`` → h ``[T, B, W]``, c_T ``[B, W]``."""
        candidate, forget, reset, *highway = (
            self.matrices(x).float().split(cell.shape[1], -1)
        )  # [T, B, W] each
        forget, reset = forget + self.bias[0], reset + self.bias[1]
        cells = [cell]
        for candidate_t, forget_t in zip(candidate, forget, strict=True):
            gate = torch.sigmoid(forget_t + self.peephole[0] * cell)
            cell = gate * cell + (1 - gate) * candidate_t
            cells.append(cell)
        gate = torch.sigmoid(reset + self.peephole[1] * torch.stack(cells[:-1]))  # [T, B, W]
        return gate * torch.stack(cells[1:]) + (1 - gate) * (
            highway[0] if highway else HIGHWAY * x
        ), cell


CELLS: dict[str, Any] = {"gru": GRU, "lstm": LSTM, "sru": SRU}
