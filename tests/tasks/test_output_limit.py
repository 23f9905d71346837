"""``Task.limit``, the maximum output length for a source."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.discovery import settings
from cli import read
from support.tiny import tiny_task
from textgen_env.data.limit import Limit
from textgen_env.errors import UserError
from textgen_env.tasks import copy, tasks

LINES = st.tuples(st.integers(0, 500).map(lambda n: n / 100), st.integers(1, 300))
UNBOUNDED = {
    "Chat-v0",
    "CNNDM-v0",
    "Copy-v0",
    "DialogSum-v0",
    "Tightrope-v0",
}  # except by the horizon


@given(
    st.one_of(st.none(), LINES),
    st.integers(1, 200),
    st.lists(st.integers(1, 500), min_size=1, max_size=20),
)
def test_limit_is_a_line_rounded_up_and_capped_at_the_horizon(line, horizon, lengths):
    ratio, offset = line or (None, None)
    limit = Limit(horizon, ratio, offset)
    expected = [
        min(horizon, math.ceil(Fraction(str(ratio)) * length) + offset) if line else horizon
        for length in lengths
    ]
    assert [limit(length) for length in lengths] == expected
    assert min(expected) >= 1
    array, tensor = limit(np.array(lengths)), limit(torch.tensor(lengths))
    assert array.dtype == np.int64
    assert tensor.dtype == torch.int64
    assert array.tolist() == tensor.tolist() == expected
    code = limit.code("length")
    assert [eval(code, {"length": length, "min": min}) for length in lengths] == expected


@pytest.mark.parametrize("id", tasks())
def test_default_limits(id):
    options = settings(tasks()[id].load)
    expected = (None, None) if id in UNBOUNDED else (1.2, 10)
    assert (options.get("limit_ratio"), options.get("limit_offset")) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit_ratio": -0.1, "limit_offset": 3}, "limit_ratio=-0.1: "),
        ({"limit_ratio": math.nan, "limit_offset": 3}, "limit_ratio=nan: "),
        ({"limit_ratio": math.inf, "limit_offset": 3}, "limit_ratio=inf: "),
        ({"limit_ratio": "1", "limit_offset": 3}, "limit_ratio='1': "),
        ({"limit_ratio": 1.2, "limit_offset": 0}, "limit_offset=0: "),
        ({"limit_ratio": 1.2, "limit_offset": 1.5}, "limit_offset=1.5: "),
        ({"limit_ratio": 1.2}, "limit_ratio=1.2 limit_offset=None: "),
        ({"limit_offset": 5}, "limit_ratio=None limit_offset=5: "),
    ],
)
def test_invalid_limits_raise_a_one_line_error(options, message):
    with pytest.raises(UserError) as error:
        copy.load(**options)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("env", ["IWSLT-v0", "Copy-v0"])
@pytest.mark.parametrize(
    "override",
    [
        "env.limit_ratio=-1",
        "env.limit_offset=0",
        "env.limit_offset=1.5",
        "env.limit_ratio=much",
    ],
)
def test_command_line_errors_name_the_key(env, override):
    with pytest.raises(UserError, match=override.partition("=")[0]):
        read("dagger", [f"env={env}", override])
    config = read("dagger", [f"env={env}", "env.limit_ratio=2", "env.limit_offset=3"])
    assert (config.env.limit_ratio, config.env.limit_offset) == (2.0, 3)


def test_describe_counts_references_beyond_the_limit():
    # Targets have 6, 6, 3 and 9 tokens; sources 6, 6, 3 and 10, so the limits are 4, 4, 3 and 6.
    task = replace(tiny_task(), limit=Limit(9, 0.5, 1))
    limit = "references exceed the output limit (0.5 · source + 1 tokens, at most 9)"
    assert task.describe()[-3:] == [
        f"3 of 4 train {limit}; training uses them whole",
        f"1 of 2 valid {limit}; scoring uses them whole",
        f"1 of 1 test {limit}; scoring uses them whole",
    ]
    task = replace(tiny_task(), limit=Limit(9, 1.0, 1))
    assert not any("output limit" in line for line in task.describe())


def test_options_reach_the_limit():
    assert copy.load(train=50, limit_ratio=1.0, limit_offset=1, horizon=12).limit(3) == 4
