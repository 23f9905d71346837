"""State in buffers, parameters and ``get_extra_state``: it is saved and survives a resume."""

from functools import partial

import numpy as np
import pytest
import torch

from agents.algorithms import Loss
from agents.algorithms.bc import BC
from agents.training.checkpoint import load_tensors
from support.training import (
    STEPS,
    CrashError,
    equal_checkpoints,
    equal_weights,
    fit,
    last_checkpoint,
)
from textgen_env.errors import UserError


class History(torch.nn.Module):
    """An extra state that grows."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def get_extra_state(self):
        return {"rows": torch.tensor(self.rows, dtype=torch.int64)}

    def set_extra_state(self, state):
        self.rows = state["rows"].tolist()


class Counting(BC):
    """Counts in a buffer and in an extra state, and has a parameter; the loss depends on all."""

    def __init__(self, policy):
        super().__init__(policy)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.history = History()

    def loss(self, batch, clock):
        self.seen += 1
        self.history.rows.append(batch.tokens)
        loss = super().loss(batch, clock)
        offset = self.seen + sum(self.history.rows)
        return Loss(loss.sum * self.weight.mean() + offset, loss.weight)


@pytest.mark.parametrize("step", [5, 9])
def test_buffers_parameters_and_extra_state_resume_bitwise(tmp_path, step):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    fit(straight, at=99, algorithm=Counting)
    with pytest.raises(CrashError):
        fit(killed, at=step, algorithm=Counting)
    fit(killed, at=99, algorithm=Counting, resume=True)
    tensors, _ = load_tensors(last_checkpoint(straight))
    assert tensors["algorithm.algorithm.seen"] == STEPS
    assert len(tensors["algorithm.algorithm.history._extra_state.rows"]) == STEPS
    assert equal_checkpoints(straight, killed)


class Extra(BC):
    """The extra state is ``encode(number of batches)``; the loss depends on that number."""

    def __init__(self, policy, encode):
        super().__init__(policy)
        self.seen, self.encode = 0, encode
        self.state = encode(0)

    def loss(self, batch, clock):
        self.seen += 1
        self.state = self.encode(self.seen)
        loss = super().loss(batch, clock)
        return Loss(loss.sum * (1 + self.seen / 9), loss.weight)

    def get_extra_state(self):
        return self.state

    def set_extra_state(self, state):
        self.state = state
        self.seen = next(n for n in range(99) if str(self.encode(n)) == str(state))
        assert type(state) is type(self.encode(0))


EXTRA_STATES = {
    "int": int,
    "float": lambda n: n / 3,
    "string": str,
    "tensor": torch.tensor,
    "dict": lambda n: {"n": n},
    "dict with number and tuple keys": lambda n: {n: "β", (1, 2): None},
    "tensors in nested lists and dicts": lambda n: {
        "n": [n, (n, torch.tensor(n))],
        "empty": {},
        "more": {"deep": [torch.ones(2, n)]},
    },
    "list of tensors": lambda n: [torch.tensor(n), torch.tensor(n / 3)],
    "growing list": lambda n: [0.1] * n,
}


@pytest.mark.parametrize("encode", EXTRA_STATES.values(), ids=EXTRA_STATES.keys())
def test_extra_state_resumes_bitwise(tmp_path, encode):
    algorithm = partial(Extra, encode=encode)
    straight, _ = fit(tmp_path / "straight", algorithm=algorithm)
    with pytest.raises(CrashError):
        fit(tmp_path / "killed", at=9, algorithm=algorithm)
    resumed, _ = fit(tmp_path / "killed", at=99, algorithm=algorithm, resume=True)
    assert equal_weights(straight, resumed)


@pytest.mark.parametrize(
    ("state", "kind"), [(np.zeros(2), "ndarray"), ({"a": [object()]}, "object"), ({1, 2}, "set")]
)
def test_extra_state_of_another_type_is_rejected_before_the_first_step(tmp_path, state, kind):
    message = rf"^Extra\.get_extra_state returns a value of type {kind}; return tensors, numbers"
    with pytest.raises(UserError, match=message):
        fit(tmp_path, at=1, algorithm=partial(Extra, encode=lambda n: state))


def test_extra_state_without_setter_is_rejected(tmp_path):
    class GetterOnly(BC):
        def get_extra_state(self):
            return 3

    message = "GetterOnly defines get_extra_state but not set_extra_state"
    with pytest.raises(UserError, match=message):
        fit(tmp_path, algorithm=GetterOnly)
