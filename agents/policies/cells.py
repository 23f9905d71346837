"""Recurrent layers over time-major sequences ``[T, B, D]``: torch's GRU and LSTM, and SRU.

A cell encodes a whole sequence with ``forward(x, start)`` and one position with
``step(x, hidden)``. ``begin(start)`` makes its first hidden state from ``start`` ``[B, W]``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from agents.policies.layers import linear

Hidden = tuple[Tensor, ...]  # the state of a cell between two steps: tensors [B, W], float32
# Keeps the variance constant over layers while reset gates are half open (Lei et al. 2018, sec. 3)
HIGHWAY = math.sqrt(3)


class Layer(nn.Module):
    """A recurrent layer, unidirectional or bidirectional.

    Args:
        cell: The cell's class.
        inputs: Width of the input.
        width: W, width of the hidden state.
        directions: 1, or 2 for the concatenated outputs of both directions.
        projection: Width to which the input is projected first; 0 for no projection.
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

    def forward(
        self, x: Tensor, start: Tensor | None = None, reversal: Tensor | None = None
    ) -> Tensor:
        """Encode sequences.

        Args:
            x: ``[T, B, inputs]``.
            start: ``[B, W]``, what the first hidden state is made from; None: zeros.
            reversal: ``reversal_index`` of the row lengths, for the second direction.

        Returns:
            ``[T, B, directions·W]``.
        """
        x = self.project(self.norm(x))
        start = x.new_zeros(x.shape[1], self.width, dtype=torch.float32) if start is None else start
        output = self.cells[0](x, start)
        if reversal is None:
            return output
        backward = reverse(self.cells[1](reverse(x, reversal), start), reversal)
        return torch.cat([output, backward], 2)

    def begin(self, start: Tensor) -> Hidden:
        """The first hidden state, made from ``start`` ``[B, W]``."""
        return self.cells[0].begin(start)  # type: ignore[operator]

    def step(self, x: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        """One step forward: ``[B, inputs]`` → ``[B, W]`` and the next hidden state."""
        return self.cells[0].step(self.project(self.norm(x)), hidden)  # type: ignore[operator]


def reversal_index(length: Tensor, steps: int) -> Tensor:
    """Index ``[T, B]`` that reverses each row within its ``length`` ``[B]``; its own inverse.

    Reversing within the length keeps padding at the end, where the backward direction ignores it.
    """
    time = torch.arange(steps, device=length.device)[:, None]  # [T, 1]
    return torch.where(time < length, length - 1 - time, time)  # [T, B]


def reverse(x: Tensor, reversal: Tensor) -> Tensor:
    """``x`` ``[T, B, D]`` with its rows reversed by a ``reversal_index`` ``[T, B]``."""
    return x[reversal, torch.arange(x.shape[1], device=x.device)]


class GRUCell(nn.GRU):
    """nn.GRU with single steps that use the same weights."""

    def forward(self, x: Tensor, start: Tensor) -> Tensor:  # type: ignore[override]
        """``[T, B, inputs]``, ``[B, W]`` → ``[T, B, W]``."""
        return super().forward(x, start[None])[0]

    def begin(self, start: Tensor) -> Hidden:
        """The first hidden state."""
        return (start,)

    def step(self, x: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        """``[B, inputs]`` → ``[B, W]`` and the next hidden state."""
        output = torch.gru_cell(x, *hidden, *self.parameters())
        return output, (output,)


class LSTMCell(nn.LSTM):
    """nn.LSTM with single steps that use the same weights; h and c start with the same values."""

    def forward(self, x: Tensor, start: Tensor) -> Tensor:  # type: ignore[override]
        """``[T, B, inputs]``, ``[B, W]`` → ``[T, B, W]``."""
        return super().forward(x, (start[None], start[None]))[0]

    def begin(self, start: Tensor) -> Hidden:
        """The first hidden state."""
        return start, start

    def step(self, x: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        """``[B, inputs]`` → ``[B, W]`` and the next hidden state."""
        hidden = torch.lstm_cell(x, hidden, *self.parameters())
        return hidden[0], hidden


class SRUCell(nn.Module):
    """Simple recurrent unit (Lei et al. 2018, equations 1-4): only element-wise ops are recurrent.

    f_t = σ(W_f x_t + v_f ⊙ c_{t-1} + b_f);  c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ W x_t;
    r_t = σ(W_r x_t + v_r ⊙ c_{t-1} + b_r);  h_t = r_t ⊙ c_t + (1 - r_t) ⊙ √3 x_t, with a matrix
    instead of √3 where the widths differ. One matmul covers all steps; c is float32.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        blocks = 3 if inputs == width else 4  # W, W_f, W_r, highway
        self.matrices = nn.Linear(inputs, blocks * width, bias=False)
        self.peephole = nn.Parameter(torch.empty(2, width))  # v_f, v_r
        self.bias = nn.Parameter(torch.zeros(2, width))  # b_f, b_r
        nn.init.uniform_(self.matrices.weight, -math.sqrt(3 / inputs), math.sqrt(3 / inputs))
        nn.init.uniform_(self.peephole, -math.sqrt(3 / width), math.sqrt(3 / width))

    def forward(self, x: Tensor, start: Tensor) -> Tensor:
        """``[T, B, inputs]``, ``[B, W]`` → ``[T, B, W]``."""
        return self.run(x, start)[0]

    def begin(self, start: Tensor) -> Hidden:
        """The first hidden state."""
        return (start,)

    def step(self, x: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        """``[B, inputs]`` → ``[B, W]`` and the next hidden state."""
        output, cell = self.run(x[None], *hidden)
        return output[0], (cell,)

    def run(self, x: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """``[T, B, inputs]``, c_0 ``[B, W]`` → h ``[T, B, W]``, c_T ``[B, W]``."""
        blocks = self.matrices(x).float().split(cell.shape[1], -1)  # [T, B, W] each
        candidate, forget, reset, *highway = blocks
        forget, reset = forget + self.bias[0], reset + self.bias[1]
        cells = [cell]
        for candidate_t, forget_t in zip(candidate, forget, strict=True):
            gate = torch.sigmoid(forget_t + self.peephole[0] * cell)
            cell = gate * cell + (1 - gate) * candidate_t
            cells.append(cell)
        gate = torch.sigmoid(reset + self.peephole[1] * torch.stack(cells[:-1]))  # [T, B, W]
        skip = highway[0] if highway else HIGHWAY * x
        return gate * torch.stack(cells[1:]) + (1 - gate) * skip, cell


CELLS: dict[str, Any] = {"gru": GRUCell, "lstm": LSTMCell, "sru": SRUCell}
