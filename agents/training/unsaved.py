"""Detects state of an algorithm that is in no checkpoint and that a resume would therefore lose.

The trainer refuses a training in which such state changes.
"""

from __future__ import annotations

import itertools
import logging
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import PurePath
from types import GeneratorType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.algorithms.base import Algorithm, is_oracle, is_policy
from textgen_env.errors import UserError

REMEDY = (
    "make it a buffer (register_buffer), a parameter or part of get_extra_state; "
    "random numbers come from clock.uniform"
)
MODULE_FIELDS = frozenset(vars(nn.Module()))  # attributes that torch keeps in every module
# Values and iterators whose repr determines them.
BY_REPR = bool | int | float | complex | str | bytes | None | range | slice | PurePath
ITERATORS = itertools.count | itertools.repeat
STATELESS = type | ModuleType | partial | logging.Logger


def unsaved_state(algorithm: Algorithm, policy: nn.Module) -> dict[str, bytes]:
    """``{attribute: digest}`` of everything in ``algorithm`` that its ``state_dict`` leaves out.

    Not included are ``policy``, which is saved separately, the oracle, the reward, and variables
    captured by functions.
    """
    walker = Walker(algorithm, policy)
    digests: dict[str, bytes] = {}
    for owner, module in algorithm.named_modules():
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            continue  # it declares its own state
        for name, value in _unsaved_attributes(module):
            for path, digest in walker.leaves(f"{owner}.{name}" if owner else name, value):
                # Keys 1 and "1" of a dict share a path, so digests are chained.
                digests[path] = _hash(digests.get(path, b""), digest)
    return digests


def check_unsaved_state(
    algorithm: Algorithm, policy: nn.Module, before: Mapping[str, bytes]
) -> None:
    """UserError if ``unsaved_state`` now differs from ``before``, its value at the start."""
    now = unsaved_state(algorithm, policy)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise UserError(
                f"{type(algorithm).__name__}.{name} changes in training and would be lost "
                f"on a resume: {REMEDY}"
            )


class Walker:
    """Walks through the objects that an algorithm holds, visiting each one once."""

    def __init__(self, algorithm: Algorithm, policy: nn.Module) -> None:
        modules = [*algorithm.modules(), policy]
        rewards = [vars(module).get("reward") for module in modules]
        skipped = *modules, *filter(callable, rewards), algorithm.oracle
        # The objects are kept alive, so that no id is reused.
        self.visited = {id(value): value for value in skipped}
        saved = (
            *algorithm.state_dict(keep_vars=True).values(),
            *policy.parameters(),
            *policy.buffers(),
        )
        self.saved = {value.data_ptr() for value in saved if isinstance(value, Tensor)} - {0}

    def leaves(self, path: str, value: Any) -> Iterator[tuple[str, bytes]]:
        """(path, digest) of everything in ``value``."""
        if isinstance(value, Tensor) and value.data_ptr() in self.saved:
            return
        content = _content(value)
        kind = getattr(value, "__qualname__", type(value).__qualname__)
        yield path, _hash(f"{kind} ".encode(), content or b"")
        if content is None and id(value) not in self.visited:
            self.visited[id(value)] = value
            for name, item in _items(value):
                yield from self.leaves(f"{path}.{name}", item)


def _hash(*parts: bytes) -> bytes:
    return blake2b(b"".join(parts), digest_size=16).digest()


def _content(value: Any) -> bytes | None:
    """Bytes that determine ``value``; None for an object whose items are to be visited."""
    if isinstance(value, BY_REPR | ITERATORS):
        return repr(value).encode()
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().reshape(-1)
        kind = f"{value.dtype} {tuple(value.shape)} ".encode()
        return kind + (content.view(torch.uint8).numpy().tobytes() if content.numel() else b"")
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype} {value.shape} ".encode() + value.tobytes()
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, random.Random):
        return repr(value.getstate()).encode()
    return b"" if isinstance(value, STATELESS) or is_oracle(value) else None


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    """The named items and attributes of an object."""
    if isinstance(value, nn.Module):
        yield from itertools.chain(value.named_parameters(), value.named_buffers())
        if not is_policy(value):  # a policy computes with its tensors only
            for owner, module in value.named_modules():
                for name, item in _unsaved_attributes(module):
                    yield f"{owner}.{name}" if owner else name, item
        return
    if isinstance(value, GeneratorType):
        frame = value.gi_frame
        yield from {"position": frame.f_lasti, **frame.f_locals}.items() if frame else ()
    elif isinstance(value, Mapping):
        keys = [
            key if isinstance(key, BY_REPR | tuple) else number for number, key in enumerate(value)
        ]
        yield "keys", repr(keys)
        yield from zip(keys, value.values(), strict=True)
    elif isinstance(value, Sequence):
        yield from enumerate(value)
    elif isinstance(value, Set):
        yield from enumerate(sorted(map(repr, value)))
    yield from _pickled(value)


def _unsaved_attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Attributes of a module that its ``state_dict`` leaves out."""
    yield from ((name, value) for name, value in vars(module).items() if name not in MODULE_FIELDS)
    for name in sorted(module._non_persistent_buffers_set):
        yield name, module._buffers[name]


def _pickled(value: Any) -> Iterator[tuple[Any, Any]]:
    """What pickle would save of an object besides its items; of a function, its attributes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pickling iterators is deprecated
        try:
            reduced = value.__reduce_ex__(2)
        except Exception:  # it cannot be pickled
            reduced = None, (), getattr(value, "__dict__", None)
    if isinstance(reduced, str):  # the name of a global object
        return
    _, arguments, *rest = reduced
    if not isinstance(value, Mapping | Sequence | Set):
        yield from enumerate(arguments)
    state = rest[0] if rest else None
    parts = state if isinstance(state, tuple) else (state,)  # (attributes, slots)
    for part in parts:
        if isinstance(part, Mapping):
            for name, item in part.items():
                if not isinstance(getattr(type(value), str(name), None), cached_property):
                    yield name, item
        elif part is not None:
            yield "state", part
