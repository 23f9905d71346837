"""State of an algorithm that no checkpoint holds: it would be lost on a resume, so a training with it is refused."""

from __future__ import annotations

import itertools
import logging
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import PurePath
from types import GeneratorType, MemberDescriptorType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.algorithms.base import Algorithm, is_oracle, is_policy
from textgen_env.errors import UserError

REMEDY = "make it a buffer (register_buffer), a parameter or part of get_extra_state; random numbers come from clock.uniform"
FIELDS = frozenset(vars(nn.Module()))  # what torch keeps in every module
PLAIN = (
    bool
    | int
    | float
    | complex
    | str
    | bytes
    | None
    | range
    | slice
    | PurePath
    | itertools.count
    | itertools.repeat
)
CODE = type | ModuleType | partial | logging.Logger


def unsaved(algorithm: Algorithm, policy: nn.Module) -> dict[str, bytes]:
    """``{attribute: digest}`` of all that the algorithm keeps beside its ``state_dict``; ``policy`` is saved by others.

    Left out are the oracle, the reward and what functions close over.
    """
    walk = Walk(algorithm, policy)
    digests: dict[str, bytes] = {}
    for owner, module in algorithm.named_modules():
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            continue  # says itself what its state is
        for name, value in _own(module):
            for path, digest in walk.leaves(f"{owner}.{name}" if owner else name, value):
                digests[path] = _hash(
                    digests.get(path, b""), digest
                )  # keys 1 and "1" have one path
    return digests


def check_saved(algorithm: Algorithm, policy: nn.Module, before: Mapping[str, bytes]) -> None:
    """UserError where a value outside of ``state_dict`` is another than ``before``, what ``unsaved`` gave at the start."""
    now = unsaved(algorithm, policy)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            who = type(algorithm).__name__
            raise UserError(
                f"{who}.{name} changes in training and would be lost on a resume: {REMEDY}"
            )


class Walk:
    """Goes through what an algorithm holds, each object once."""

    def __init__(self, algorithm: Algorithm, policy: nn.Module) -> None:
        modules = [*algorithm.modules(), policy]
        rewards = [vars(module).get("reward") for module in modules]
        seen = *modules, *filter(callable, rewards), algorithm.oracle
        self.seen = {id(each): each for each in seen}  # kept alive, so that no id is used again
        saved = (
            *algorithm.state_dict(keep_vars=True).values(),
            *policy.parameters(),
            *policy.buffers(),
        )
        self.saved = {each.data_ptr() for each in saved if isinstance(each, Tensor)} - {0}

    def leaves(self, path: str, value: Any) -> Iterator[tuple[str, bytes]]:
        """(path, digest) of everything in ``value``."""
        if isinstance(value, Tensor) and value.data_ptr() in self.saved:
            return
        content = _content(value)
        kind = getattr(value, "__qualname__", type(value).__qualname__)
        yield path, _hash(f"{kind} ".encode(), content or b"")
        if content is None and id(value) not in self.seen:
            self.seen[id(value)] = value
            for name, item in _inside(value):
                yield from self.leaves(f"{path}.{name}", item)


def _hash(*parts: bytes) -> bytes:
    return blake2b(b"".join(parts), digest_size=16).digest()


def _content(value: Any) -> bytes | None:
    """Bytes that tell what ``value`` is; None for an object with parts."""
    if isinstance(value, PLAIN):
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
    return b"" if isinstance(value, CODE) or is_oracle(value) else None


def _inside(value: Any) -> Iterator[tuple[Any, Any]]:
    """The named parts of an object."""
    if isinstance(value, nn.Module):
        yield from itertools.chain(value.named_parameters(), value.named_buffers())
        if not is_policy(value):  # what a policy computes with is in its tensors
            for owner, module in value.named_modules():
                yield from (
                    (f"{owner}.{name}" if owner else name, item) for name, item in _own(module)
                )
        return
    if isinstance(value, np.random.Generator):
        value = value.bit_generator
    if isinstance(value, np.random.RandomState):
        yield "state", value.get_state(legacy=False)
    elif isinstance(value, np.random.BitGenerator):
        yield "state", value.state
    elif isinstance(value, GeneratorType):
        frame = value.gi_frame
        yield from {"place": frame.f_lasti, **frame.f_locals}.items() if frame else ()
    elif isinstance(value, Mapping):
        keys = [
            key if isinstance(key, PLAIN | tuple) else number for number, key in enumerate(value)
        ]
        yield "keys", repr(keys)
        yield from zip(keys, value.values(), strict=True)
    elif isinstance(value, Sequence):
        yield from enumerate(value)
    elif isinstance(value, Set):
        yield from enumerate(sorted(map(repr, value)))
    yield from _attributes(value)


def _own(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """What a module keeps that its ``state_dict`` would not hold."""
    yield from ((name, value) for name, value in vars(module).items() if name not in FIELDS)
    yield from (
        (name, module._buffers[name]) for name in sorted(module._non_persistent_buffers_set)
    )


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Attributes and slots, or, of what has neither, such as an iterator, what ``copy`` would make it from."""
    kind = type(value)
    slotted = [each for each in kind.__mro__ if "__slots__" in vars(each)]
    slots = {
        name
        for each in slotted
        for name, slot in vars(each).items()
        if isinstance(slot, MemberDescriptorType)
    }
    for name in sorted(slots):
        if hasattr(value, name):
            yield name, getattr(value, name)
    for name, item in getattr(value, "__dict__", {}).items():
        if not isinstance(getattr(kind, name, None), cached_property):
            yield name, item
    if (
        not slotted
        and not hasattr(value, "__dict__")
        and not isinstance(value, Mapping | Sequence | Set)
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that iterators will not be copied for ever
            try:
                parts = value.__reduce_ex__(2)
            except Exception:  # it cannot be copied: nobody can tell what is in it
                parts = ()
        yield from enumerate(parts[1:3] if isinstance(parts, tuple) else [parts])
