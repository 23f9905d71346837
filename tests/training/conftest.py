"""Trainings that several tests compare with or resume."""

import shutil

import pytest
import torch

from agents.algorithms.bc import BC
from support.training import CrashError, crash, fit


class Stateful(BC):
    """Has a buffer that changes, and a parameter that gets no gradient."""

    def __init__(self, policy):
        super().__init__(policy)
        self.register_buffer("seen", torch.zeros(2))
        self.idle = torch.nn.Parameter(torch.zeros(3))

    def loss(self, batch, clock):
        self.seen += 1
        return super().loss(batch, clock)


class KilledAfterTwoCheckpoints(Stateful):
    def loss(self, batch, clock):
        return crash() if clock.step >= 9 else super().loss(batch, clock)


@pytest.fixture(scope="session")
def straight(tmp_path_factory):
    """The policy and the run folder of an uninterrupted training."""
    folder = tmp_path_factory.mktemp("straight")
    return fit(folder)[0], folder


@pytest.fixture(scope="session")
def stateful():
    """The class of an algorithm with state of its own."""
    return Stateful


@pytest.fixture(scope="session")
def straight_stateful(tmp_path_factory):
    """The policy and the run folder of an uninterrupted training with state."""
    folder = tmp_path_factory.mktemp("stateful")
    return fit(folder, algorithm=Stateful)[0], folder


@pytest.fixture(scope="session")
def killed_run(tmp_path_factory):
    """The run folder of a training with state, killed after its second checkpoint of three."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    with pytest.raises(CrashError):
        fit(folder, algorithm=KilledAfterTwoCheckpoints)
    return folder


@pytest.fixture
def killed(killed_run, tmp_path):
    """A copy of ``killed_run``."""
    return shutil.copytree(killed_run, tmp_path / "run")
