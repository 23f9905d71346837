"""Numbers out of range and empty values: one line that names the key, and exit code 2."""

from __future__ import annotations

import math
import re

import pytest

import dagger
import show
import speed
import t2_bound
from cli import read
from cli.schema import default_groups, keys
from conf import CPUS
from support.refused import never, refused
from textgen_env.errors import UserError

HUGE, NAN, INF = 10**10, math.nan, math.inf
OUT_OF_RANGE = {
    "dagger": {
        "seed": (-1, 2**32, 2**63),
        "threads": (0, CPUS + 1),
        "workers": (0, CPUS + 1),
        **{f"{phase}train.steps": (0, HUGE) for phase in ("", "teacher.")},
        "train.lr": (NAN, INF, 0, 1e9),
        "train.clip": (NAN, INF, -1),
        "train.epochs": (0, NAN, INF),
        "train.patience": (0, HUGE),
        "train.weight_decay": (-1, NAN),
        "train.accumulate": (0, HUGE),
        "train.batch_tokens": (0, HUGE),
        "train.warmup": (-1,),
        "train.validations": (0, 10**7),
        "train.validation_rows": (0,),
        "evaluate.beam": (0, 10**6),
        "evaluate.rows": (0, -5),
        "evaluate.batch_size": (0,),
        "evaluate.speed_rows": (-1,),
        "evaluate.length_penalty": (-1, NAN),
        "teacher.length_penalty": (-1,),
        "teacher.label_smoothing": (1, NAN),
        "teacher.layers": (0,),
        **{f"student.{name}": (0, HUGE) for name in ("layers", "width", "heads", "ffn")},
        "student.dropout": (1, NAN),
        "env.horizon": (0, HUGE),
        "env.source_limit": (HUGE,),
        "env.vocabulary": (0, HUGE),
        "env.bundled_pairs": (HUGE,),
        "algorithm.top_k": (-1,),
        "algorithm.label_top_k": (10**7,),
        "algorithm.group": (0,),
    },
    "compare": {"seeds": (-1, 2**64), "beams": (0, 10**6), "length_penalty": (-0.5,)},
    "speed": {"threads": (CPUS + 1,), "beams": (0,), "batch_sizes": (10**7,), "rounds": (0,)},
    "show": {"sentence": (-1, HUGE), "beam": (0,), "length_penalty": (-0.5,)},
    "export": {"rows": (0,), "batch_sizes": (0,), "threads": (CPUS + 1,)},
    "exposure_bias": {
        "resamples": (0, 10**8),
        **dict.fromkeys(("corrupt", "rows"), (0,)),
        **dict.fromkeys(("corrupt_at", "top_k"), (-1,)),
    },
    "t2_bound": {
        "epsilon": (NAN, 0, 2),
        "neural_epsilon": (0, 1),
        "neural_seeds": (0, 10**5),
        "shortest": (0,),
        "longest": (HUGE,),
        "mdps": (0, HUGE),
        "seed": (-1,),
        "demonstrations": (0,),
    },
    "interop": {
        "gamma": (2, NAN),
        "lr": (INF,),
        **dict.fromkeys(("epochs", "steps"), (0,)),
        "envs": (HUGE,),
        "batch": (1,),
    },
    "bench": {"seconds": (INF, NAN), "episodes": (0, HUGE)},
}


@pytest.mark.parametrize("command", OUT_OF_RANGE)
def test_ranges_exclude_invalid_values(command):
    known = keys(command, default_groups(command))
    for key, numbers in OUT_OF_RANGE[command].items():
        for number in numbers:
            assert number not in known[key].allowed, key


@pytest.mark.parametrize(
    ("command", "word", "message"),
    [
        ("dagger", "seed=-1", "expected a number from 0 to 4,294,967,295"),
        ("dagger", "train.lr=inf", "greater than 0 and at most 100"),
        ("dagger", "train.lr=nan", "greater than 0 and at most 100"),
        ("dagger", "algorithm.rate=nan", "to 1,000,000,000"),
        ("compare", "seeds=[0,-1]", "expected a number from 0"),
        ("speed", "beams=[1,0]", "expected a number from 1"),
        ("t2_bound", "epsilon=1", "greater than 1e-12 and less than 1"),
    ],
)
def test_out_of_range_error_names_the_key(monkeypatch, capsys, command, word, message):
    error = refused(monkeypatch, capsys, never, command, word)
    assert error.startswith(f"error: {word.partition('=')[0]}=")
    assert message in error


@pytest.mark.parametrize("word", ["train.lr=.nan", "train.steps=1e400", "seed=1.5", "seeds=[x]"])
def test_non_numeric_error_names_the_key(word):
    command = "compare" if word.startswith("seeds") else "dagger"
    message = rf"^{re.escape(word)}: expected (int|float|list), such as .*"
    with pytest.raises(UserError, match=message):
        read(command, [word])


def test_bounds_are_inclusive():
    words = [f"seed={2**32 - 1}", f"threads={CPUS}", "evaluate.beam=1000", "train.lr=100"]
    config = read("dagger", [*words, "student.dropout=0"])
    assert (config.seed, config.threads, config.evaluate.beam) == (2**32 - 1, CPUS, 1000)
    assert (config.train.lr, config.student.dropout) == (100.0, 0.0)


COPY = {
    **{"env": "Copy-v0", "env.train": 20, "env.valid": 2, "env.test": 2},
    **{"train.steps": 1, "train.validations": 1},
}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate.beam=50"], "evaluate.beam=50: expected a number from 1 to 12"),
        (["evaluate.rows=3"], "evaluate.rows=3: expected a number from 1 to 2"),
        (["train.validations=2"], "train.validations=2: at most train.steps=1"),
        (["algorithm.rate=3"], "algorithm.rate=3.0: "),
        (["algorithm.top_k=13"], "algorithm.top_k=13: expected a number from 0 to 12"),
        (["algorithm.label_top_k=13"], "algorithm.label_top_k=13: "),
        (["algorithm=gkd", "algorithm.student_fraction=2"], "algorithm.student_fraction=2.0: "),
        (["algorithm=scheduled_sampling", "algorithm.top_k=2"], "algorithm.top_k=2: "),
        (["algorithm=mrt", "algorithm.cold_start=true", "algorithm.samples=1"], "algorithm.samp"),
        (["student.width=30"], "student.width=30 heads=4: "),
        (["env.min_length=9"], "env.min_length=9: expected a number from 1 to 8"),
        (["env.horizon=5"], "env.horizon=5"),
    ],
)
def test_task_dependent_limits_are_checked_before_the_run(
    monkeypatch, capsys, tmp_path, words, message
):
    monkeypatch.chdir(tmp_path)
    given = COPY | dict(word.split("=") for word in words)
    overrides = [f"{key}={value}" for key, value in given.items()]
    assert f"error: {message}" in refused(monkeypatch, capsys, dagger.main, "dagger", *overrides)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "word"),
    [
        *(("dagger", f"{key}=") for key in ("env", "algorithm", "preset", "out", "reward")),
        *(("dagger", f"{key}=") for key in ("teacher.path", "env.hub", "seed", "train.schedule")),
        *(("dagger", word) for word in ("out= ", "out=''", 'out=""', "resume=", "train.steps=")),
        *(("compare", word) for word in ("seeds=[]", "seeds=", "algorithms=[mle,'']")),
        *(("exposure_bias", word) for word in ("run=", "run=[]", "run=['']", "split=")),
        ("show", "run="),
        ("interop", "gamma="),
    ],
)
def test_empty_value_error_names_the_key(command, word):
    message = "empty; give at least one value, or leave the key out"
    with pytest.raises(UserError, match=f"^{word.partition('=')[0]}=.*{message}"):
        read(command, [word])


def test_optional_strings_may_be_empty():
    words = ["teacher.path=hf:gpt2", "teacher.separator=", "env.hub_config="]
    config = read("dagger", words)
    assert (config.teacher.separator, config.env.hub_config) == ("", "")


@pytest.mark.parametrize(
    ("command", "word"),
    [(show, "run=nowhere"), (speed, "run=nowhere"), (t2_bound, "longest=4")],
)
def test_other_commands_exit_with_code_2(monkeypatch, capsys, tmp_path, command, word):
    monkeypatch.chdir(tmp_path)
    error = refused(monkeypatch, capsys, command.main, command.__name__, word)
    assert error.startswith("error: ")
