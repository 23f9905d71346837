"""Invalid settings of algorithms are one clear line that names the argument."""

from __future__ import annotations

import math

import pytest

from agents.discovery import build
from agents.runs.student import check_start
from cli import read
from support.enumerable import Table, TableOracle, reward
from support.learners import ALGORITHMS, NEED_START, make, small_policy
from textgen_env.errors import UserError

OUT_OF_RANGE = {
    "adaswitch": {"threshold": (-1, math.nan), "window": (0,)},
    "aggrevated": {"actions": (1,), "rate": (-1, math.nan)},
    "bc": {"label_smoothing": (-0.1, 1.0, math.nan)},
    "dagger": {
        "group": (0, 65),
        "label_top_k": (-1, 6),
        "nll": (-0.1, 1.0, math.nan),
        "rate": (-1, math.nan, math.inf),
        "top_k": (-1, 6),
    },
    "dagger_aggregate": {"every": (0, 65), "memory_mb": (0, -1, math.nan, math.inf)},
    "distillm": {
        "capacity": (0, 10**9),
        "growth": (-0.1, 1.1, math.nan),
        "skew": (-0.1, 1.0, math.nan),
        "student_fraction": (-0.1, 1.2, math.nan),
        "tolerance": (-1, math.nan),
    },
    "gkd": {
        "beta": (-0.1, 1.1, math.nan),
        "label_top_k": (-1, 6),
        "nll": (-0.1, 1.0, math.nan),
        "student_fraction": (-0.1, 1.2, math.nan),
    },
    "gold": {
        "discount": (-0.5, math.nan),
        "floor": (-1, math.nan),
        "log_floor": (3.0, math.nan),
        "weight_floor": (2.0, math.nan),
        "window": (-1, 10**9),
    },
    "grpo": {
        "clip": (0.0, math.nan),
        "epochs": (0, 65),
        "kl": (-1, math.nan),
        "samples": (1, 10**9),
    },
    "lols": {"actions": (1, 9), "expert_share": (2, math.nan)},
    "minillm": {"teacher_mix": (1.0, math.nan)},
    "mixer": {"anneal": (0, 2, math.nan), "delta": (0, 10**9)},
    "mrt": {"alpha": (0.0, math.nan, math.inf), "samples": (1, 10**9)},
    "opd": {"discount": (-0.1, 1.1, math.nan)},
    "ppo": {
        "clip": (0.0, math.nan),
        "epochs": (0, 65),
        "kl": (-1, math.nan),
        "samples": (0, 10**9),
        "trace": (1.1, math.nan),
    },
    "reinforce": {"samples": (0, 10**9)},
    "rloo": {"samples": (1, 10**9)},
    "scheduled_sampling": {"passes": (0,), "rate": (math.nan,), "top_k": (2,)},
    "scst": {"samples": (0, 10**9)},
    "skd": {"accept_top_k": (0, 10**9), "beta": (-0.1, 1.1, math.nan)},
    "word_kd": {"label_top_k": (6,), "nll": (1.0, math.nan)},
}
UNKNOWN = [
    ("aggrevated", "cost_to_go", "true", r"unknown cost_to_go 'true'"),
    ("dagger", "labels", "actions", r"unknown labels 'actions'; did you mean 'action'\?"),
    ("dagger", "mixture", "token", r"unknown mixture 'token'"),
    ("dagger", "relabel", "none", r"unknown relabel 'none'"),
    ("distillm", "divergence", "skew", r"unknown divergence 'skew'; did you mean 'skew_kl'\?"),
    ("gkd", "divergence", "kl", r"unknown divergence 'kl'"),
    ("gkd", "tail", "buckets", r"unknown tail 'buckets'; did you mean 'bucket'\?"),
    ("gold", "credit", "deltas", r"unknown credit 'deltas'; did you mean 'delta'\?"),
    ("grpo", "loss_type", "bnpo", r"unknown loss_type 'bnpo'"),
    ("opd", "expectation", "sample", r"unknown expectation 'sample'; did you mean 'sampled'\?"),
    ("reinforce", "baseline", "critics", r"unknown baseline 'critics'; did you mean 'critic'\?"),
    ("scheduled_sampling", "epsilon", "sigmoid", r"did you mean 'reverse_sigmoid'\?"),
]


def learner(name, **settings):
    algorithm = ALGORITHMS[name].func
    return build(algorithm, settings, policy=Table(0), oracle=TableOracle(1), reward=reward)


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        (name, argument, value)
        for name, arguments in OUT_OF_RANGE.items()
        for argument, values in arguments.items()
        for value in values
    ],
)
def test_an_out_of_range_value_names_the_argument(name, argument, value):
    with pytest.raises(UserError, match=f"^{argument}={value}: "):
        learner(name, **{argument: value})


@pytest.mark.parametrize(("name", "argument", "value", "message"), UNKNOWN)
def test_an_unknown_choice_gets_the_nearest_valid_one(name, argument, value, message):
    with pytest.raises(UserError, match=message):
        learner(name, **{argument: value})


def test_exact_costs_to_go_need_an_exact_oracle():
    message = "cost_to_go=exact needs the exact oracle of a tabular task"
    with pytest.raises(UserError, match=message):
        learner("aggrevated", cost_to_go="exact")


@pytest.mark.parametrize(
    "name",
    ["adaswitch", "aggrevated", "dagger", "distillm", "gkd", "lols", "minillm", "opd", "skd"],
)
def test_a_missing_oracle_is_an_error(name):
    algorithm = ALGORITHMS[name].func
    with pytest.raises(UserError, match=f"{algorithm.__name__} needs an oracle"):
        build(algorithm, {}, policy=Table(0), oracle=None, reward=reward)


@pytest.mark.parametrize("name", NEED_START)
def test_cold_start_allows_an_untrained_student(name, task):
    assert make(name, task, small_policy(task)).needs_start
    assert not make(name, task, small_policy(task), cold_start=True).needs_start


def test_an_algorithm_that_improves_a_student_needs_a_trained_one():
    with pytest.raises(UserError, match=r"algorithm=reinforce improves a student .* init=RUN"):
        check_start(read("dagger", ["env=Copy-v0", "algorithm=reinforce"]))
    check_start(read("dagger", ["env=Copy-v0", "algorithm=reinforce", "algorithm.cold_start=true"]))
