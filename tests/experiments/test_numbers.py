"""Numbers out of range and empty values: one line that names the key, and exit code 2."""

from __future__ import annotations

import re

import pytest

import dagger
import show
import speed
import t2_bound
from cli import read
from conf import CPUS
from presets import presets
from support.refused import never, refused
from textgen_env.tasks import tasks

COPY = (
    *("env=Copy-v0", "env.train=20", "env.valid=2", "env.test=2"),
    *("train.steps=1", "train.validations=1"),
)
BEYOND = [
    *(
        ("dagger", word)
        for word in (
            "seed=-1",
            "seed=9223372036854775808",
            "seed=4294967296",
            "threads=0",
            "workers=0",
        )
    ),
    *(
        ("dagger", word)
        for word in (f"threads={CPUS + 1}", "threads=1000000000", f"workers={CPUS + 1}")
    ),
    *(
        ("dagger", f"{phase}train.{word}")
        for phase in ("", "teacher.")
        for word in ("steps=0", "steps=10000000000")
    ),
    *(
        ("dagger", f"train.{word}")
        for word in ("lr=nan", "lr=inf", "lr=0", "lr=1e9", "clip=nan", "clip=inf", "clip=-1")
    ),
    *(
        ("dagger", f"train.{word}")
        for word in ("batch_tokens=0", "batch_tokens=1000000000", "warmup=-1", "validations=0")
    ),
    *(("dagger", f"train.{word}") for word in ("validation_rows=0", "validations=10000000")),
    *(
        ("dagger", f"evaluate.{word}")
        for word in ("beam=0", "beam=1000000", "rows=0", "batch_size=0", "speed_rows=-1")
    ),
    *(
        ("dagger", f"student.{word}")
        for word in ("layers=1000000000", "width=1000000000", "heads=0", "ffn=1000000000")
    ),
    *(("dagger", f"student.{word}") for word in ("dropout=1", "dropout=nan", "decoder_layers=0")),
    *(
        ("dagger", f"teacher.{word}")
        for word in ("layers=0", "label_smoothing=1", "label_smoothing=nan")
    ),
    *(
        ("dagger", f"env.{word}")
        for word in ("horizon=0", "horizon=1000000000", "source_limit=1000000000", "vocabulary=0")
    ),
    *(("dagger", f"env.{word}") for word in ("vocabulary=1000000000", "bundled_pairs=1000000000")),
    *(
        ("dagger", f"algorithm.{word}")
        for word in ("rate=nan", "rate=inf", "top_k=-1", "label_top_k=10000000", "group=0")
    ),
    *(
        ("compare", word)
        for word in ("seeds=[0,-1]", "seeds=[18446744073709551616]", "beams=[1,1000000]")
    ),
    *(
        ("speed", word)
        for word in (f"threads=[1,{CPUS + 1}]", "beams=[0]", "batch_sizes=[10000000]", "rounds=0")
    ),
    *(("show", word) for word in ("sentence=10000000000", "sentence=-1", "beam=0")),
    *(("export", word) for word in ("rows=0", "batch_sizes=[0]", f"threads={CPUS + 1}")),
    *(
        ("exposure_bias", word)
        for word in ("resamples=100000000", "corrupt=0", "corrupt_at=-1", "top_k=-1", "rows=0")
    ),
    *(
        ("t2_bound", word)
        for word in (
            "epsilon=nan",
            "epsilon=2",
            "shortest=0",
            "longest=1000000000",
            "mdps=1000000000",
        )
    ),
    *(
        ("t2_bound", word)
        for word in ("neural_seeds=100000", "neural_epsilon=1", "seed=-1", "demonstrations=0")
    ),
    *(
        ("interop", word)
        for word in (
            "gamma=2",
            "gamma=nan",
            "lr=inf",
            "epochs=0",
            "envs=1000000000",
            "batch=1",
            "steps=0",
        )
    ),
    *(("bench", word) for word in ("seconds=inf", "episodes=1000000000")),
]


@pytest.mark.parametrize(("command", "word"), BEYOND, ids=lambda part: str(part))
def test_a_number_beyond_its_range_is_refused_by_its_key(
    monkeypatch, capsys, command: str, word: str
) -> None:
    message = refused(monkeypatch, capsys, never, command, word)
    key = word.partition("=")[0]
    assert message.startswith(f"error: {key}=")
    assert "expected" in message
    assert " and at most " in message or " and less than " in message


@pytest.mark.parametrize("word", ["train.lr=.nan", "train.steps=1e400", "seed=1.5", "seeds=[x]"])
def test_a_value_that_is_no_number_is_refused_by_its_key(monkeypatch, capsys, word):
    command = "compare" if word.startswith("seeds") else "dagger"
    message = refused(monkeypatch, capsys, never, command, word)
    assert re.fullmatch(
        rf"error: {re.escape(word)}: (int|float|list) expected, such as .*", message
    )


def test_the_ends_of_a_range_are_allowed() -> None:
    words = [
        "seed=4294967295",
        f"threads={CPUS}",
        "evaluate.beam=1000",
        "student.dropout=0",
        "train.lr=100",
    ]
    config = read("dagger", words)
    assert (config.seed, config.threads, config.evaluate.beam, config.train.lr) == (
        2**32 - 1,
        CPUS,
        1000,
        100.0,
    )
    for env in tasks():
        for preset in presets(env):
            read(
                "dagger", [f"env={env}", f"preset={preset}"]
            )  # what a preset sets is not the user's to leave out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["evaluate.beam=50"], "evaluate.beam=50: a number of at least 1 and at most 12 expected"),
        (["evaluate.rows=3"], "evaluate.rows=3: a number of at least 1 and at most 2 expected"),
        (["train.validations=2"], "train.validations=2: at most train.steps=1"),
        (["algorithm.rate=3"], "algorithm.rate=3.0: "),
        (
            ["algorithm.top_k=13"],
            "algorithm.top_k=13: a number of at least 0 and at most 12 expected",
        ),
        (["algorithm.label_top_k=13"], "algorithm.label_top_k=13: "),
        (
            ["algorithm=lols", "algorithm.cold_start=true", "algorithm.actions=11"],
            "algorithm.actions=11: ",
        ),
        (["algorithm=gkd", "algorithm.student_fraction=2"], "algorithm.student_fraction=2.0: "),
        (["algorithm=scheduled_sampling", "algorithm.top_k=2"], "algorithm.top_k=2: "),
        (
            ["algorithm=mrt", "algorithm.cold_start=true", "algorithm.samples=1"],
            "algorithm.samples=1: ",
        ),
        (["student.width=30"], "student.width=30 heads=4: "),
        (["env.min_length=9"], "env.min_length=9: a number of at least 1 and at most 8 expected"),
        (["env.horizon=5"], "env.horizon=5 has no room"),
    ],
)
def test_what_depends_on_task_or_student_names_the_key_too(
    monkeypatch, capsys, tmp_path, words, reason
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [
        word
        for word in COPY
        if word.partition("=")[0] not in {each.partition("=")[0] for each in words}
    ]
    assert f"error: {reason}" in refused(monkeypatch, capsys, dagger.main, "dagger", *given, *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "word"),
    [
        *(
            ("dagger", f"{key}=")
            for key in ("env", "teacher", "student", "algorithm", "preset", "out", "init", "reward")
        ),
        *(
            ("dagger", f"{key}=")
            for key in (
                "teacher.path",
                "env.data_dir",
                "env.corpus",
                "env.source",
                "env.hub",
                "device",
            )
        ),
        *(("dagger", f"{key}=") for key in ("precision", "seed", "resume", "train.schedule")),
        *(("dagger", word) for word in ("out= ", "out=''", 'out=""', "train.steps=")),
        *(
            ("compare", word)
            for word in (
                "seeds=[]",
                "seeds=",
                "algorithms=[]",
                "algorithms=[mle,'']",
                "students=",
                "beams=[]",
            )
        ),
        *((command, "run=") for command in ("show", "speed", "export", "exposure_bias")),
        *(("exposure_bias", word) for word in ("run=[]", "run=['']", "out=", "split=")),
        *(("bench", word) for word in ("suite=[]", "sizes=", "out=")),
        *(("interop", word) for word in ("trainer=", "init=", "gamma=")),
        ("t2_bound", "out="),
    ],
)
def test_an_empty_value_is_refused_by_its_key(monkeypatch, capsys, command: str, word: str) -> None:
    message = refused(monkeypatch, capsys, never, command, word)
    assert message.startswith(f"error: {word.partition('=')[0]}=")
    assert "empty; give at least one value, or leave the key out" in message


def test_a_text_that_may_be_empty_is_empty() -> None:
    words = [
        "teacher.path=hf:gpt2",
        "teacher.separator=",
        "teacher.source_prefix=",
        "env.hub_config=",
    ]
    config = read("dagger", words)
    assert (config.teacher.separator, config.teacher.source_prefix, config.env.hub_config) == (
        "",
        "",
        "",
    )


@pytest.mark.parametrize(
    ("main", "command", "key"),
    [
        (show.main, "show", "run"),
        (speed.main, "speed", "run"),
        (t2_bound.main, "t2_bound", "longest"),
    ],
)
def test_the_other_commands_exit_with_2_too(
    monkeypatch, capsys, tmp_path, main, command, key
) -> None:
    word = f"{key}=nowhere" if key == "run" else "longest=4"
    monkeypatch.chdir(tmp_path)
    assert refused(monkeypatch, capsys, main, command, word).startswith("error: ")
