"""State of an algorithm that no checkpoint holds: it would be lost on a resume, so a training with it is refused."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.algorithms.base import Algorithm
from textgen_env.errors import UserError

REMEDY = "make it a buffer (register_buffer), a parameter or part of get_extra_state; random numbers come from clock.uniform"


def unsaved(algorithm: Algorithm) -> dict[str, int]:
    """``{attribute: digest}`` of every number, tensor and collection that the algorithm's ``state_dict`` leaves out."""
    digests: dict[str, int] = {}
    for owner, module in algorithm.named_modules():
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            continue  # says itself what its state is
        for name, value in vars(module).items():
            if not name.startswith("_") or name not in vars(nn.Module()):
                path = f"{owner}.{name}" if owner else name
                digests |= {leaf: hash(digest) for leaf, digest in _leaves(path, value, set())}
    return digests


def check_saved(algorithm: Algorithm, before: Mapping[str, int]) -> None:
    """UserError where a value outside of ``state_dict`` is another than ``before``, what ``unsaved`` gave at the start."""
    now = unsaved(algorithm)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            who = type(algorithm).__name__
            raise UserError(f"{who}.{name} changes in training and would be lost on a resume: {REMEDY}")


def _leaves(path: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """(path, something hashable that tells its value) of everything in ``value`` that may be state."""
    if isinstance(value, bool | int | float | str | bytes | None):
        yield path, value
    elif isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().reshape(-1)
        yield path, (tuple(value.shape), content.view(torch.uint8).numpy().tobytes() if content.numel() else b"")
    elif isinstance(value, np.ndarray):
        yield path, (value.shape, value.tobytes())
    elif isinstance(value, torch.Generator):
        yield path, value.get_state().numpy().tobytes()
    elif isinstance(value, random.Random):
        yield path, value.getstate()
    elif isinstance(value, np.random.Generator):
        yield path, str(value.bit_generator.state)
    elif id(value) not in seen:
        seen.add(id(value))
        yield from _inside(path, value, seen)


def _inside(path: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield f"{path}.keys", tuple(map(str, value))
        for key, item in value.items():
            yield from _leaves(f"{path}.{key}", item, seen)
    elif isinstance(value, Sequence):
        yield f"{path}.length", len(value)
        for number, item in enumerate(value):
            yield from _leaves(f"{path}.{number}", item, seen)
    elif isinstance(value, Set):
        yield path, tuple(sorted(map(str, value)))
    elif hasattr(value, "__dict__") and not callable(value) and not hasattr(value, "queries"):  # no policy, no oracle
        for name, item in vars(value).items():
            yield from _leaves(f"{path}.{name}", item, seen)
