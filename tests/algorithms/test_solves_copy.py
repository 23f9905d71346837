"""Every algorithm reaches the optimum of Copy-v0, 100 % accuracy, within a tolerance of 2."""

from __future__ import annotations

from copy import deepcopy
from functools import cache

import pytest

from support.cases import others_slow
from support.copying import SOLVED, accuracy, copy_task, fit, half_trained_student, student
from support.learners import ALGORITHMS, NEED_START, make

TRAINED = {*NEED_START, "aggrevated_exact"}  # the latter can stay on a plateau from fresh weights
STEPS = {"aggrevated": 500, "scst": 500}  # their gradients have more variance
REPRESENTATIVE = ("bc", "imitkd_full", "reinforce")  # on data, on samples, on rewards


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that returns a student that copies most strings, by seed."""

    @cache
    def train(seed):
        policy = half_trained_student(tmp_path_factory.mktemp("start"), copy_task(), seed)
        assert accuracy(policy, copy_task(), "test") < SOLVED
        return policy

    return lambda seed: deepcopy(train(seed))


@pytest.mark.parametrize(
    ("name", "seed"),
    others_slow(
        {name: (name, 0) for name in ALGORITHMS}
        | {f"{name}, another seed": (name, 1) for name in REPRESENTATIVE},
        *REPRESENTATIVE,
    ),
)
def test_it_solves_copy(name, seed, tmp_path, trained):
    task, steps = copy_task(), STEPS.get(name, 350)
    policy = trained(seed) if name in TRAINED else student(task, seed)
    algorithm = make(name, task, policy)
    assert fit(tmp_path, task, algorithm, steps, seed, 1e-3 if name in TRAINED else 3e-3) >= SOLVED
