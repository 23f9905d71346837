"""State that no checkpoint holds: a training in which it changes is rejected."""

import copy
import itertools
import random
from collections import deque
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.algorithms import Loss
from agents.algorithms.bc import BC
from agents.generation.rollout import frozen_copy
from support.training import fit, new_student
from textgen_env.errors import UserError
from textgen_env.types import Batch, Trajectories


class Holder(BC):
    """Holds an object in ``state`` and calls ``change`` on it at every step."""

    def __init__(self, policy, state, change):
        super().__init__(policy)
        self.state, self.change = state, change

    def loss(self, batch, clock):
        self.state = self.change(self.state)
        return super().loss(batch, clock)


@dataclass
class Box:
    value: object


@dataclass(slots=True)
class SlottedBox:
    value: object


class CallCounter:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1


class CachedProperty:
    @cached_property
    def value(self):
        return 1


def function():
    """A function that gets attributes."""


def generator():
    number = 0
    while True:
        number += 1
        yield number


def nested_module():
    """A list with a module, which is therefore not registered."""
    module = torch.nn.Linear(2, 1)
    module.register_buffer("seen", torch.zeros(()), persistent=False)
    return [torch.nn.Sequential(module)]


def episodes(number=0):
    return Trajectories(torch.full((1, 2), number), torch.full((1,), 2), torch.zeros(1))


def batch(number=0):
    return Batch(*(torch.full(shape, number) for shape in ((1,), (1, 2), (1, 2), (1,), (1,))))


def average(policy):
    """One step of a moving average of the weights."""
    for weight in policy.parameters():
        weight.data.lerp_(torch.ones_like(weight), 0.1)


def in_place(change):
    def changed(value):
        change(value)
        return value

    return changed


def increment_value(box):
    box.value += 1


CHANGING = {
    "number": (0, lambda value: value + 1),
    "number with an equal hash": (-1, lambda value: -3 - value if value == -1 else value),
    "tensor": (torch.zeros(2), lambda value: value + 1),
    "tensor in place": (torch.zeros(2), in_place(lambda value: value.add_(1))),
    "list": ([], in_place(lambda value: value.append(1))),
    "deque": (deque(), in_place(lambda value: value.append(torch.ones(1)))),
    "dict": ({}, in_place(lambda value: value.update(n=len(value) + 1))),
    "order of a dict": (
        {1: 0, "1": 0, 2: 0},
        lambda value: dict([*value.items()][1:] + [*value.items()][:1]),
    ),
    "dict with keys of equal text": (
        {1: 0, "1": 0},
        in_place(lambda value: value.update({1: value[1] + 1})),
    ),
    "set": (set(), in_place(lambda value: value.add(len(value)))),
    "torch generator": (torch.Generator(), in_place(lambda value: torch.rand(1, generator=value))),
    "numpy generator": (np.random.default_rng(0), in_place(lambda value: value.random())),
    "legacy numpy generator": (np.random.RandomState(0), in_place(lambda value: value.rand())),
    "numpy bit generator": (np.random.PCG64(0), in_place(lambda value: value.random_raw())),
    "Python generator": (random.Random(0), in_place(lambda value: value.random())),
    "array": (np.zeros(2), lambda value: value + 1),
    "numpy scalar": (np.float32(0), lambda value: value + np.float32(1)),
    "copy of a policy": (frozen_copy(new_student()), in_place(average)),
    "policies in a list": (
        [new_student(), new_student()],
        in_place(lambda value: average(value[1])),
    ),
    "replaced policy": (new_student(), lambda value: new_student(seed=5)),
    "module in a list": (nested_module(), in_place(lambda value: value[0][0].weight.data.add_(1))),
    "buffer of a module in a list": (
        nested_module(),
        in_place(lambda value: value[0][0].seen.add_(1)),
    ),
    "attribute of a module in a list": (
        nested_module(),
        in_place(lambda value: setattr(value[0][0], "n", torch.rand(1))),
    ),
    "object": (Box(0), in_place(increment_value)),
    "object with slots": (SlottedBox(0), in_place(increment_value)),
    "object with slots in a list": (
        [SlottedBox(0)],
        in_place(lambda value: increment_value(value[0])),
    ),
    "batch": (
        [batch()],
        in_place(lambda value: value.__setitem__(0, batch(int(value[0].index) + 1))),
    ),
    "batch instead of None": (None, lambda value: batch()),
    "episodes instead of None": ([None], in_place(lambda value: value.__setitem__(0, episodes()))),
    "object instead of None": (None, lambda value: object()),
    "count": (itertools.count(), in_place(next)),
    "list iterator": (iter([0] * 99), in_place(next)),
    "nested iterator": (map(abs, iter(range(99))), in_place(next)),
    "callable object": (CallCounter(), in_place(lambda value: value())),
    "attribute of a function": (
        function,
        in_place(lambda value: setattr(value, "n", getattr(value, "n", 0) + 1)),
    ),
    "function": (function, lambda value: generator),
}
CONSTANT = {
    "policy whose mode changes": (
        new_student(),
        in_place(lambda value: value.train(not value.training)),
    ),
    "list reversed twice": (
        [new_student(), new_student()],
        in_place(lambda value: value.reverse() or value.reverse()),
    ),
    "module in a list": (nested_module(), in_place(lambda value: value[0](torch.zeros(1, 2)))),
    "equal batch": ([batch()], in_place(lambda value: value.__setitem__(0, batch()))),
    "equal count": (itertools.count(), lambda value: itertools.count()),
    "path": (Path("a"), in_place(str)),
    "cached property": (CachedProperty(), in_place(lambda value: value.value)),
    "reseeded Python generator": (random.Random(0), in_place(lambda value: value.seed(0))),
}


@pytest.mark.parametrize("case", CHANGING)
def test_changing_state_is_rejected_by_name(tmp_path, case):
    state, change = copy.deepcopy(CHANGING[case])
    message = r"Holder\.state.* changes in training and would be lost on a resume: make it a"
    with pytest.raises(UserError, match=message):
        fit(tmp_path, algorithm=partial(Holder, state=state, change=change))


@pytest.mark.parametrize("case", CONSTANT)
def test_constant_state_is_accepted(tmp_path, case):
    state, change = copy.deepcopy(CONSTANT[case])
    fit(tmp_path, algorithm=partial(Holder, state=state, change=change))


def test_advancing_generator_is_rejected_by_its_variable(tmp_path):
    with pytest.raises(UserError, match=r"Holder\.state\.number changes in training"):
        fit(tmp_path, algorithm=partial(Holder, state=generator(), change=in_place(next)))


def test_changing_non_persistent_buffer_is_rejected(tmp_path):
    class Buffered(BC):
        def __init__(self, policy, increment):
            super().__init__(policy)
            self.increment = increment
            self.register_buffer("seen", torch.zeros(()), persistent=False)

        def loss(self, batch, clock):
            self.seen += self.increment
            return super().loss(batch, clock)

    fit(tmp_path / "constant", algorithm=partial(Buffered, increment=0))
    with pytest.raises(UserError, match=r"Buffered\.seen changes in training and would be lost"):
        fit(tmp_path / "changing", algorithm=partial(Buffered, increment=1))


def test_references_to_saved_or_exempt_objects_are_accepted(tmp_path):
    """The policy, its weights, the oracle, the reward, and weights listed by a recurrent layer."""

    class Expert:
        queries = 0

        def log_probs(self, source, prefix, mask=None):
            self.queries += 1

        action = log_probs

    class Referring(BC):
        def __init__(self, policy):
            super().__init__(policy)
            self.oracle, self.experts, self.reward = Expert(), [Expert()], CallCounter()
            self.policies, self.weights = [policy], [*policy.parameters()]
            self.layers = [*policy.children()]
            self.critic = torch.nn.LSTM(2, 2)

        def loss(self, batch, clock):
            self.reward()
            for oracle in (self.oracle, *self.experts):
                oracle.action(batch.source, batch.prefix)
            loss = super().loss(batch, clock)
            return Loss(loss.sum + self.critic(torch.ones(1, 2))[0].sum(), loss.weight)

    fit(tmp_path, algorithm=Referring)
