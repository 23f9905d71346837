"""Numbers beyond what they count, empty values, keys that change nothing: one line that names the key, and exit code 2."""

from __future__ import annotations

import math
import re
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import TimeLimit

import agents.algorithms
import checks
import compare
import dagger
import show
import speed
import t2_bound
import textgen_env
from agents.discovery import build, variants
from agents.generation.decoder import Decoder
from agents.policies.rnn import RNN
from agents.policies.transformer import Transformer
from checks import CPUS
from cli import passing, presets, read, read_given, run
from textgen_env import CachedOracle, NoisyOracle, ReferenceOracle, TextGenEnv, TextGenVectorEnv
from textgen_env.errors import Range, UserError
from textgen_env.tasks import tasks

COPY = (
    "env=Copy-v0",
    "env.train=20",
    "env.valid=2",
    "env.test=2",
    "train.steps=1",
    "train.validations=1",
)


def refused(monkeypatch, capsys, main, script: str, *words: str, passes_on: bool = False) -> str:
    """What a command says of ``words``; it has to be one line, and the exit code 2."""
    monkeypatch.setattr(sys, "argv", [script, *words])
    with pytest.raises(SystemExit) as stopped:
        run(main, script, passes_on)
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert stopped.value.code == 2
    return said


def never(*_) -> None:
    raise AssertionError("the work began")


# --- numbers on the command line


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
        for word in ("lr=.nan", "lr=.inf", "lr=0", "lr=1e9", "clip=.nan", "clip=.inf", "clip=-1")
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
    *(("dagger", f"student.{word}") for word in ("dropout=1", "dropout=.nan", "decoder_layers=0")),
    *(
        ("dagger", f"teacher.{word}")
        for word in ("layers=0", "label_smoothing=1", "label_smoothing=.nan")
    ),
    *(
        ("dagger", f"env.{word}")
        for word in ("horizon=0", "horizon=1000000000", "source_limit=1000000000", "vocabulary=0")
    ),
    *(("dagger", f"env.{word}") for word in ("vocabulary=1000000000", "bundled_pairs=1000000000")),
    *(
        ("dagger", f"algorithm.{word}")
        for word in ("rate=.nan", "rate=.inf", "top_k=-1", "label_top_k=10000000", "group=0")
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
            "epsilon=.nan",
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
            "gamma=.nan",
            "lr=.inf",
            "epochs=0",
            "envs=1000000000",
            "batch=1",
            "steps=0",
        )
    ),
    *(("bench", word) for word in ("seconds=.inf", "episodes=1000000000")),
]


@pytest.mark.parametrize(("script", "word"), BEYOND, ids=lambda part: str(part))
def test_a_number_beyond_its_range_is_refused_by_its_key(
    monkeypatch, capsys, script: str, word: str
) -> None:
    said = refused(monkeypatch, capsys, never, script, word, passes_on=script == "compare")
    key = word.partition("=")[0]
    assert said.startswith(f"error: {key}=")
    assert "expected" in said
    assert " and at most " in said or " and less than " in said


@pytest.mark.parametrize(
    "word",
    ["train.lr=nan", "train.clip=inf", "train.steps=1e400", "algorithm.rate=-inf", "seed=1.5"],
)
def test_what_is_no_number_is_refused_by_its_key(monkeypatch, capsys, word: str) -> None:
    said = refused(monkeypatch, capsys, never, "dagger", word)
    assert re.fullmatch(rf"error: {re.escape(word)}: (int|float) expected(, such as .*)?", said)


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
    ("words", "says"),
    [
        (["evaluate.beam=50"], "evaluate.beam=50: a number of at least 1 and at most 12 expected"),
        (["evaluate.rows=3"], "evaluate.rows=3: a number of at least 1 and at most 2 expected"),
        (["train.validations=2"], "train.validations=2: at most the 1 of train.steps"),
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
    monkeypatch, capsys, tmp_path, words, says
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [
        word
        for word in COPY
        if word.partition("=")[0] not in {each.partition("=")[0] for each in words}
    ]
    assert f"error: {says}" in refused(monkeypatch, capsys, dagger.main, "dagger", *given, *words)
    assert not list(tmp_path.iterdir())


# --- empty values


@pytest.mark.parametrize(
    ("script", "word"),
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
        *(
            ("dagger", f"{key}=")
            for key in ("precision", "seed", "resume", "train.schedule", "algorithm._target_")
        ),
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
        *((script, "run=") for script in ("show", "speed", "export", "exposure_bias")),
        *(("exposure_bias", word) for word in ("run=[]", "run=['']", "out=", "split=")),
        *(("bench", word) for word in ("suite=[]", "sizes=", "out=")),
        *(("interop", word) for word in ("trainer=", "init=", "gamma=")),
        ("t2_bound", "out="),
    ],
)
def test_an_empty_value_is_refused_by_its_key(monkeypatch, capsys, script: str, word: str) -> None:
    said = refused(monkeypatch, capsys, never, script, word, passes_on=script == "compare")
    assert said.startswith(f"error: {word.partition('=')[0]}=")
    assert "empty; give at least one value, or leave the key out" in said


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


# --- keys that change nothing


@pytest.mark.parametrize(
    ("script", "words", "says"),
    [
        *(
            ("dagger", [f"teacher.path={path}", word], f"the teacher is teacher.path={path}")
            for path in ("RUN", "hf:gpt2")
            for word in (
                "teacher.layers=3",
                "teacher.train.steps=5",
                "teacher.label_smoothing=0",
                "teacher=gru",
            )
        ),
        ("dagger", ["teacher.path=RUN", "teacher.separator=x"], "only a teacher.path=hf:… has it"),
        ("dagger", ["teacher.source_prefix=x"], "only a teacher.path=hf:… has it"),
        ("dagger", ["env=Copy-v0", "teacher.train.steps=5"], "teacher=exact is not trained"),
        ("dagger", ["env=Copy-v0", "teacher.label_smoothing=0.1"], "teacher=exact is not trained"),
        ("dagger", ["reward=bleu"], "algorithm=imitkd_full learns from no rewards"),
        ("dagger", ["reward=bleu", "algorithm=mle"], "algorithm=mle learns from no rewards"),
        (
            "dagger",
            ["env.data_dir=x", "env.bundled_pairs=5"],
            "the corpus is the folder env.data_dir",
        ),
        ("dagger", ["env.data_dir=x", "env.hub=a/b"], "the corpus is the folder env.data_dir"),
        ("dagger", ["env.corpus=bundled", "env.hub=a/b"], "the corpus is env.corpus=bundled"),
        ("dagger", ["env.corpus=hub", "env.bundled_pairs=5"], "the corpus is env.corpus=hub"),
        ("interop", ["trainer=sb3_a2c", "epochs=5"], "trainer=sb3_a2c uses each step once"),
        ("t2_bound", ["neural=false", "neural_seeds=3"], "neural=false trains no student"),
        ("bench", ["memory=[seed=1]"], "only suite=memory reads it"),
        *(("bench", [word], "only suite=beam reads it") for word in ("run=RUN", "rows=5")),
        *(
            ("bench", ["suite=[env]", word], "only suite=")
            for word in ("sizes=[2+2]", "batch=5", "steps=5")
        ),
        (
            "dagger",
            ["algorithm=imitkd_full", "algorithm.relabel=all"],
            "only algorithm.labels=action reads it",
        ),
        (
            "dagger",
            ["algorithm=imitkd_full", "algorithm.label_smoothing=0.1"],
            "only algorithm.labels=action reads it",
        ),
        (
            "dagger",
            ["algorithm.labels=distribution", "algorithm.label_smoothing=0"],
            "only algorithm.labels=action reads it",
        ),
        (
            "dagger",
            ["algorithm=imitkd", "algorithm.label_top_k=3"],
            "only algorithm.labels=distribution reads it",
        ),
        *(
            (
                "dagger",
                ["algorithm=aggrevated_exact", word],
                "only algorithm.cost_to_go=roll_out reads it",
            )
            for word in ("algorithm.actions=7", "reward=bleu")
        ),
        *(
            (
                "dagger",
                ["algorithm=gkd", f"algorithm.divergence={name}", "algorithm.beta=0.3"],
                "only algorithm.divergence=jsd reads it",
            )
            for name in ("forward_kl", "reverse_kl", "total_variation")
        ),
        *(
            ("dagger", ["algorithm=gold", f"algorithm.{word}"], "only algorithm.credit=product")
            for word in ("floor=0.2", "log_floor=-3", "window=2", "discount=0.9")
        ),
        (
            "dagger",
            ["algorithm=gold_s", "algorithm.log_floor=-3"],
            "only algorithm.credit=product reads it",
        ),
        (
            "dagger",
            ["evaluate.beam=1", "evaluate.length_penalty=0.6"],
            "only evaluate.beam=2 or more reads it",
        ),
        ("show", ["length_penalty=0.3"], "only beam=2 or more reads it"),
        *(
            (script, ["beams=[1]", "length_penalty=0.3"], "only beams=2 or more reads it")
            for script in ("speed", "compare")
        ),
        *(
            (
                "dagger",
                ["teacher=transformer", f"algorithm={name}", "teacher.length_penalty=0.6"],
                f"algorithm={name} asks the teacher for no demonstrations",
            )
            for name in ("mle", "imitkd_full", "gkd")
        ),
        (
            "dagger",
            ["teacher.path=RUN", "teacher.length_penalty=0.6"],
            "algorithm=imitkd_full asks the teacher for no",
        ),
        (
            "dagger",
            ["teacher=exact", "algorithm=seqkd", "teacher.length_penalty=0.6"],
            "teacher=exact does no beam search",
        ),
    ],
)
def test_a_key_that_changes_nothing_is_refused(
    monkeypatch, capsys, script: str, words: list[str], says: str
) -> None:
    said = refused(monkeypatch, capsys, never, script, *words, passes_on=script == "compare")
    assert f"does not apply: {says}" in said
    assert said.split()[1] in {word.partition("=")[0] for word in words}


@pytest.mark.parametrize(
    "words",
    [
        ["env=Copy-v0", "teacher.path=RUN"],  # the preset's teacher=exact is not the user's
        ["preset=paper", "teacher.path=RUN"],
        ["teacher.path=RUN", "teacher.compile=true"],
        ["teacher.path=hf:t5", "teacher.source_prefix=x", "teacher.separator=y"],
        ["algorithm=reinforce", "reward=bleu"],
        ["env.corpus=bundled", "env.bundled_pairs=50"],
        ["teacher=gru", "teacher.width=32", "teacher.train.steps=5"],
        ["algorithm=imitkd", "algorithm.relabel=all", "algorithm.label_smoothing=0.1"],
        ["algorithm=imitkd", "algorithm.labels=distribution", "algorithm.label_top_k=3"],
        ["algorithm=bc", "algorithm.label_smoothing=0.1"],
        ["algorithm=lols", "algorithm.actions=7"],
        ["algorithm=aggrevated", "algorithm.actions=7", "algorithm.beta=linear", "reward=bleu"],
        ["algorithm=gkd", "algorithm.beta=0.3"],
        [
            "algorithm=gold_p",
            "algorithm.floor=0.2",
            "algorithm.log_floor=-3",
            "algorithm.window=2",
            "algorithm.discount=0.9",
        ],
        ["algorithm=gold_s", "algorithm.floor=0.2"],
        ["evaluate.beam=2", "evaluate.length_penalty=0.6"],
        *(
            ["teacher=gru", f"algorithm={name}", "teacher.length_penalty=0.6"]
            for name in ("seqkd", "seqinter", "imitkd_star")
        ),
        ["algorithm=imitkd", "algorithm.demonstrations=best_of_beam", "teacher.length_penalty=0.6"],
        [
            "env=CNNDM-v0",
            "preset=paper",
            "algorithm=dagger",
            "algorithm.labels=distribution",
        ],  # the preset's label smoothing
    ],
)
def test_a_key_that_changes_something_is_taken(words: list[str]) -> None:
    read_given("dagger", words)


@pytest.mark.parametrize(
    ("word", "read_by", "not_by"),
    [
        ("algorithm.relabel=all", "imitkd", "imitkd_full"),
        ("algorithm.label_top_k=3", "imitkd_full", "imitkd"),
        ("algorithm.actions=7", "aggrevated", "aggrevated_exact"),
        ("algorithm.floor=0.2", "gold_p", "gold"),
        ("teacher.length_penalty=0.6", "seqinter", "mle"),
        ("reward=bleu", "aggrevated", "aggrevated_exact"),
    ],
)
def test_compare_leaves_a_key_out_where_it_changes_nothing(
    word: str, read_by: str, not_by: str
) -> None:
    assert passing("dagger", [word], read_by, "transformer") == [word]
    assert passing("dagger", [word], not_by, "transformer") == []


def test_compare_refuses_a_key_that_no_run_has_a_use_for(monkeypatch, capsys) -> None:
    assert passing("dagger", ["reward=bleu"], "mle", "transformer") == []
    assert passing("dagger", ["reward=bleu"], "reinforce", "transformer") == ["reward=bleu"]
    for word in ("reward=bleu", "algorithm.samples=2"):
        said = refused(
            monkeypatch,
            capsys,
            compare.main,
            "compare",
            "env=Copy-v0",
            "algorithms=[mle,imitkd]",
            word,
            passes_on=True,
        )
        assert said.startswith(f"error: {word}: none of these runs has such a key")


# --- arguments in Python


@pytest.fixture(scope="module")
def task():
    return tasks()["Copy-v0"].load(train=20, valid=2, test=2)


def policy(task):
    return Transformer(len(task.vocabulary), layers=1, width=8, heads=2, ffn=8)


ALGORITHMS = [
    *(("bc", "label_smoothing", value) for value in (-0.1, 1, math.nan)),
    *(("dagger", "rate", value) for value in (-1, math.nan, math.inf)),
    *(("dagger", "group", value) for value in (0, 10**9)),
    *(("dagger", key, value) for key in ("top_k", "label_top_k") for value in (-1, 13)),
    *(("dagger_aggregate", "memory_mb", value) for value in (0, -1, math.nan, math.inf)),
    ("dagger_aggregate", "every", 0),
    *(
        ("gkd", key, value)
        for key in ("student_fraction", "beta")
        for value in (-0.1, 1.1, math.nan)
    ),
    *(("gold", key, math.nan) for key in ("weight_floor", "floor", "log_floor", "discount")),
    *(("gold", "window", value) for value in (-1, 10**9)),
    *(("lols", "actions", value) for value in (1, 11)),
    ("lols", "expert_share", math.nan),
    *(("minillm", "teacher_mix", value) for value in (1, math.nan)),
    *(("mixer", "delta", value) for value in (0, 10**9)),
    *(("mixer", "anneal", value) for value in (0, 2, math.nan)),
    *(("mrt", "alpha", value) for value in (0, math.nan, math.inf)),
    *((algorithm, "samples", 10**9) for algorithm in ("mrt", "ppo", "reinforce", "rloo", "scst")),
    *(("ppo", key, math.nan) for key in ("clip", "trace", "kl")),
    ("ppo", "epochs", 10**9),
    *(
        ("scheduled_sampling", key, value)
        for key, value in (("top_k", 2), ("passes", 0), ("rate", math.nan))
    ),
    ("word_kd", "label_top_k", 13),
]


@pytest.mark.parametrize(("algorithm", "name", "value"), ALGORITHMS)
def test_an_algorithm_refuses_a_number_by_its_name(task, algorithm, name, value) -> None:
    given = {
        "policy": policy(task),
        "oracle": task.oracle(),
        "generator": torch.Generator(),
        "reward": never,
    }
    with pytest.raises(UserError, match=f"^{name}="):
        build(variants(agents.algorithms)[algorithm], {name: value}, **given)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        *(("num_envs", lambda task, n=n: TextGenVectorEnv(task, n)) for n in (0, -1, 10**12, 2.5, True)),
        *(("top_k", lambda task, k=k: oracle_of(task, k)) for k in (0, 13)),
        *(("smoothing", lambda task, x=x: ReferenceOracle(task.splits.values(), 12, x)) for x in (0, 1, math.nan)),
        *(("epsilon", lambda task, x=x: NoisyOracle(task.oracle(), x, torch.Generator())) for x in (-1, math.nan, math.inf)),
        ("max_bytes", lambda task: CachedOracle(task.oracle(), -1)),
        *(("beam", lambda task, k=k: Decoder(policy(task), k, "float32", "cpu")) for k in (0, 13)),
        *(("horizon", lambda _, n=n: tasks()["ParallelText-v0"].load(corpus="bundled", bundled_pairs=30, horizon=n)) for n in (1, 10**9)),
        *(("source_limit", lambda _, n=n: tasks()["ParallelText-v0"].load(bundled_pairs=30, source_limit=n)) for n in (1, 10**9)),
        *(("seed", lambda _, n=n: tasks()["Copy-v0"].load(seed=n)) for n in (-1, 2**64)),
        *(("vocabulary", lambda _, n=n: tasks()["ParallelText-v0"].load(vocabulary=n)) for n in (0, 10**9)),
        *((key, lambda _, key=key: tasks()["Copy-v0"].load(**{key: 0})) for key in ("symbols", "min_length", "train", "test")),
        *((key, lambda _, key=key: tasks()["Copy-v0"].load(**{key: 10**9})) for key in ("symbols", "max_length", "train")),
        *(("slip", lambda _, x=x: tasks()["Tightrope-v0"].load(slip=x)) for x in (0.0, 1.0, math.nan)),
        *(("tricks", lambda _, n=n: tasks()["Tightrope-v0"].load(tricks=n)) for n in (-1, 13)),
        *(("horizon", lambda _, n=n: tasks()["Tightrope-v0"].load(horizon=n)) for n in (0, 10**9)),
        *((key, lambda _, key=key: small_transformer(**{key: 10**9})) for key in ("layers", "decoder_layers", "width", "heads", "ffn")),
        *(("dropout", lambda _, x=x: small_transformer(dropout=x)) for x in (-0.1, 1.0, math.nan)),
        *((key, lambda _, key=key: small_rnn(**{key: 10**9})) for key in ("encoder_layers", "width", "embedding", "projection")),
    ],
)  # fmt: skip
def test_an_argument_beyond_its_range_is_refused_by_its_name(task, name, call) -> None:
    with pytest.raises(UserError, match=f"^{name}=.*expected$"):
        call(task)


def oracle_of(task, top_k):
    return textgen_env.PolicyOracle(policy(task), never, task.vocabulary, task.vocabulary, top_k)


def small_transformer(**settings):
    return Transformer(12, **{"layers": 1, "width": 8, "heads": 2, "ffn": 8, **settings})


def small_rnn(**settings):
    sizes = {
        "cell": "gru",
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_width": 8,
        "width": 8,
        "embedding": 8,
    }
    return RNN(12, **{**sizes, **settings})


@pytest.mark.parametrize("open", ["", "least", "most", "both"])
def test_a_range_holds_its_ends_unless_it_is_open_there_and_never_nan(open) -> None:
    allowed = Range(0, 1, open)
    assert 0.5 in allowed
    assert np.float32(0.5) in allowed
    assert (0 in allowed, 1 in allowed) == (
        open not in ("least", "both"),
        open not in ("most", "both"),
    )
    assert not {math.nan, math.inf, -1, 2} & {
        value for value in (math.nan, math.inf, -1, 2) if value in allowed
    }
    assert "0.5" not in allowed


@pytest.mark.parametrize("value", [1, 0, "no", None, 1.0])
@pytest.mark.parametrize(
    ("name", "made"),
    [
        *((name, TextGenEnv) for name in ("expert", "action_mask")),
        *((name, TextGenVectorEnv) for name in ("expert", "action_mask", "copy")),
    ],
)
def test_a_switch_is_true_or_false(task, name, made, value) -> None:
    with pytest.raises(UserError, match=f"^{name}={value!r}: True or False expected"):
        made(task, **{name: value})


@pytest.mark.parametrize("made", [TextGenEnv, lambda task: TextGenVectorEnv(task, 2)])
@pytest.mark.parametrize("seed", [-1, 1.5, True, "3", np.int64(-1)])
def test_a_seed_of_reset_is_a_whole_number(task, made, seed) -> None:
    with pytest.raises(
        UserError, match="seed=.*: expected a non-negative integer" if seed != "3" else "seed"
    ):
        made(task).reset(seed=seed)


def test_a_vector_environment_checks_each_seed(task) -> None:
    with pytest.raises(UserError, match="seed=-1: expected a non-negative"):
        TextGenVectorEnv(task, 2).reset(seed=[3, -1])


@pytest.mark.parametrize(
    ("ratio", "offset"), [(True, 4), (1.0, True), ("1", 4), ([1], 4), (1, 4.0), (1.0, None)]
)
def test_equal_options_of_another_kind_are_another_task(ratio, offset) -> None:
    small = {"train": 20, "valid": 2, "test": 2, "limit_offset": 4}
    tasks()["Copy-v0"].load(**small, limit_ratio=1.0)
    with pytest.raises(UserError, match="limit_"):
        tasks()["Copy-v0"].load(**small | {"limit_ratio": ratio, "limit_offset": offset})


# --- a limit from outside, and several processes


def used(env):
    env.reset()
    return env


@pytest.mark.parametrize(
    "begin",
    [
        lambda task: gym.make("Copy-v0", task=task, max_episode_steps=3).reset(),
        lambda task: TimeLimit(TextGenEnv(task), 3).reset(),
        lambda task: TimeLimit(used(TextGenEnv(task)), 3).reset(),
        pytest.param(
            lambda task: gym.make_vec(
                "Copy-v0", 2, vectorization_mode="sync", task=task, max_episode_steps=3
            ).reset(),
            marks=pytest.mark.filterwarnings(
                "ignore::pytest.PytestUnraisableExceptionWarning"
            ),  # gymnasium's half-made one
        ),
        lambda task: textgen_env.make_vector_env("Copy-v0", 2, task, max_episode_steps=3),
    ],
)
def test_a_time_limit_is_refused_by_both_environments(task, begin) -> None:
    with pytest.raises(UserError, match=r"max_episode_steps would truncate episodes .*env\.horizon"):
        begin(task)


def test_a_time_limit_around_another_environment_is_not_ours(task) -> None:
    class Owner(gym.Env):
        observation_space, action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            TextGenEnv(task).reset(seed=seed)
            return 0, {}

    TimeLimit(Owner(), 3).reset()
    gym.make("Copy-v0", task=task).reset()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}, "WORLD_SIZE=2"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "OMPI_COMM_WORLD_SIZE=4"),
        ({"PMI_SIZE": "4"}, "PMI_SIZE=4"),
        (
            {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"},
            "SLURM_STEP_NUM_TASKS=2",
        ),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, "SLURM_NTASKS=2"),
        ({}, ""),
        ({"WORLD_SIZE": "1", "RANK": "0"}, ""),
        ({"SLURM_NTASKS": "4"}, ""),  # the shell of an allocation
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, ""),  # the script of a batch job
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1"}, ""),
    ],
)
def test_several_processes_are_refused_until_they_share_the_work(
    monkeypatch, capsys, environment, said
) -> None:
    if said:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert refused(monkeypatch, capsys, never, "dagger", *COPY).startswith(
            f"error: {said}: each of "
        )
    else:
        checks.check_single_process(environment)


@pytest.mark.parametrize(
    ("main", "script", "key"),
    [
        (show.main, "show", "run"),
        (speed.main, "speed", "run"),
        (t2_bound.main, "t2_bound", "longest"),
    ],
)
def test_the_other_commands_exit_with_2_too(
    monkeypatch, capsys, tmp_path, main, script, key
) -> None:
    word = f"{key}=nowhere" if key == "run" else "longest=4"
    monkeypatch.chdir(tmp_path)
    assert refused(monkeypatch, capsys, main, script, word).startswith("error: ")
