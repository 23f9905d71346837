"""Presets of every task and algorithm, and the settings of the paper (PAPER.md)."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
from omegaconf import OmegaConf

from agents.algorithms.schedules import BETA_SCHEDULES, beta_schedule
from agents.runs.config import leaves
from cli import read
from cli.presets import nested, presets, settings_of
from cli.schema import default_groups, keys, options
from textgen_env.errors import UserError
from textgen_env.tasks import tasks

ALGORITHMS = options("algorithm")
PAPER = ("IWSLT-v0", "WMT16-v0", "CNNDM-v0")
TRANSLATION = ("IWSLT-v0", "Multi30k-v0", "ParallelText-v0", "WMT16-v0")
SUMMARIES = ("CNNDM-v0", "DialogSum-v0")
ALL = [(env, preset) for env in tasks() for preset in presets(env)]
ON_TOKENS = ("bc", "mle", "seqkd", "seqinter", "imitkd", "imitkd_star", "dagger")


@cache
def composed(env: str, preset: str) -> dict[str, Any]:
    return leaves(read("dagger", [f"env={env}", f"preset={preset}"]))


@cache
def own_keys(algorithm: str) -> dict[str, Any]:
    """The keys of an algorithm with their defaults."""
    known = keys("dagger", {"algorithm": algorithm})
    return {key: known[key].default for key in known if key.startswith("algorithm.")}


def chosen(env: str, preset: str, algorithm: str) -> dict[str, Any]:
    """The same as ``read``, composed by Hydra only once per task and preset."""
    config = composed(env, preset)
    choices = {group: config[f"{group}.name"] for group in default_groups("dagger")}
    config = {key: value for key, value in config.items() if not key.startswith("algorithm.")}
    special = settings_of("dagger", preset, {**choices, "algorithm": algorithm})
    own = {**own_keys(algorithm), "algorithm.name": algorithm, **special}
    resolved = OmegaConf.to_container(OmegaConf.create(nested(own)), resolve=True)
    return config | leaves(OmegaConf.create(resolved))


@pytest.mark.parametrize("algorithm", ["imitkd", "seqinter", "gkd"])
def test_the_shortcut_of_these_tests_equals_read(algorithm: str) -> None:
    words = ["env=CNNDM-v0", "preset=paper", f"algorithm={algorithm}"]
    assert leaves(read("dagger", words)) == chosen("CNNDM-v0", "paper", algorithm)


@pytest.mark.parametrize(("env", "preset"), ALL)
def test_every_algorithm_has_a_consistent_configuration(env: str, preset: str) -> None:
    config = composed(env, preset)
    for key, value in presets(env)[preset].items():
        if key in config and "${" not in str(value):
            assert config[key] == value
    for algorithm in ALGORITHMS:
        config = chosen(env, preset, algorithm)
        for who in ("", "teacher."):
            warmup, steps = config[f"{who}train.warmup"], config[f"{who}train.steps"]
            assert 0 < warmup < steps, algorithm
            assert config[f"{who}train.lr"] > 0
            assert config[f"{who}train.validations"] <= steps
        for condition, settings in presets(env)[preset].items():
            if condition.startswith("algorithm=") and algorithm in condition[10:].split("|"):
                assert settings.items() <= config.items(), algorithm
        for name in ("algorithm.beta", "algorithm.epsilon"):
            if config.get(name) in BETA_SCHEDULES:
                schedule = beta_schedule(config[name], config["algorithm.rate"])
                assert 0 <= schedule(1) < schedule(0) <= 1, algorithm
        if config.get("algorithm.beta") in BETA_SCHEDULES:
            assert config["algorithm.beta"] == "exponential", "the paper's"
        if config.get("algorithm.labels") == "distribution":
            assert config["algorithm.label_smoothing"] == 0
        if algorithm == "seqinter" and env in (*TRANSLATION, *SUMMARIES):
            scratch = chosen(env, preset, "mle")
            assert config["train.lr"] < scratch["train.lr"] / 3, "it fine-tunes"


@pytest.mark.parametrize(("env", "preset"), ALL)
def test_the_values_of_a_preset_are_in_range(env: str, preset: str) -> None:
    config = composed(env, preset)
    choices = {group: config[f"{group}.name"] for group in default_groups("dagger")}
    for key, known in keys("dagger", choices).items():
        if known.allowed and config[key] is not None:
            assert config[key] in known.allowed, key


@pytest.mark.parametrize("env", [*TRANSLATION, *SUMMARIES])
def test_quick_needs_no_network_and_the_other_presets_want_real_data(env: str) -> None:
    assert set(presets(env)) == {"quick", "base", "paper"}
    assert composed(env, "quick")["env.corpus"] == "auto"
    for preset in ("base", "paper"):
        config = composed(env, preset)
        assert config["env.corpus"] == "real"
        options = {key: config[f"env.{key}"] for key in ("vocabulary", "corpus")}
        with pytest.raises(UserError, match=r"give .* with env\.data=FILE_OR_FOLDER") as error:
            tasks()[env].load(**options)
        assert "\n" not in str(error.value)


# PAPER.md, "Settings of the three tasks", as numbers; of two, (student, teacher)
TABLE: dict[str, dict[str, Any]] = {
    "IWSLT-v0": {
        "env.horizon": 125,
        "env.tedx": False,
        "teacher.layers": 8,
        "teacher.width": 256,
        "teacher.heads": 4,
        "teacher.ffn": 1024,
        "teacher.dropout": 0.1,
        "teacher.label_smoothing": 0,
        "teacher.train.lr": 1e-3,
        "teacher.train.warmup": 10_000,
        "teacher.train.steps": 50_000,
        "train.lr": 1.41e-3,
        "train.warmup": 5_000,
        "train.steps": 80_000,
        "train.clip": 5,
        "train.batch_tokens": 128 * 29,
        "evaluate.beam": 1,
    },
    "WMT16-v0": {
        "env.horizon": 100,
        "student.share_source_embedding": True,
        "train.lr": 7.9e-4,
        "train.warmup": 4_000,
        "train.steps": 15 * 4_500_000 / 512,
        "train.clip": 2,
        "train.batch_tokens": 512 * 32,
    },
    "CNNDM-v0": {
        "env.horizon": 128,
        "env.source_limit": 400,
        "env.target_limit": 100,
        "student.share_source_embedding": True,
        "teacher.layers": 6,
        "teacher.width": 512,
        "teacher.heads": 8,
        "teacher.ffn": 2048,
        "teacher.label_smoothing": 0.1,
        "teacher.train.lr": 2.24e-3,
        "teacher.train.warmup": 2_000,
        "train.lr": 2.24e-3,
        "train.warmup": 2_000,
        "train.steps": 200_000,
        "train.clip": 5,
        "train.batch_tokens": 32 * 128,
        "evaluate.beam": 5,
    },
}
RATE = {"IWSLT-v0": 1 / 200, "WMT16-v0": 1 / 2, "CNNDM-v0": 1 / 10}
TOP_K = {"IWSLT-v0": 5, "WMT16-v0": 1, "CNNDM-v0": 1}
SMOOTHING = {"IWSLT-v0": 0, "WMT16-v0": 0, "CNNDM-v0": 0.1}


@pytest.mark.parametrize("env", PAPER)
def test_the_paper_preset_has_the_settings_of_the_paper(env: str) -> None:
    for algorithm in ("mle", "imitkd", "imitkd_full"):
        config = chosen(env, "paper", algorithm)
        for key, value in TABLE[env].items():
            assert config[key] == pytest.approx(value, rel=6e-3), key
        for who in ("", "teacher."):
            assert config[f"{who}train.schedule"] == "inverse_sqrt"
            assert config[f"{who}train.clip"] == config["train.clip"]
            assert config[f"{who}train.batch_tokens"] == config["train.batch_tokens"]


@pytest.mark.parametrize("env", PAPER)
def test_the_paper_preset_has_the_rates_and_roll_ins_of_the_paper(env: str) -> None:
    for algorithm in ("imitkd", "imitkd_full", "imitkd_star", "imitkd_star_full"):
        config = chosen(env, "paper", algorithm)
        assert config["algorithm.rate"] == RATE[env]
        assert config["algorithm.group"] == 4
        assert config["algorithm.mixture"] == "sequence"
        for preset in ("quick", "paper"):
            roll_in = chosen(env, preset, algorithm)["algorithm.top_k"]
            assert roll_in == (1 if "full" in algorithm else TOP_K[env])
    for algorithm in ON_TOKENS:
        config = chosen(env, "paper", algorithm)
        assert config["algorithm.label_smoothing"] == SMOOTHING[env], algorithm
    config = chosen(env, "paper", "seqinter")
    assert config["train.lr"] == pytest.approx(0.01 / math.sqrt(2_000))
    assert config["train.warmup"] == 2_000


@pytest.mark.parametrize("student", ["gru", "lstm", "sru"])
def test_the_paper_preset_has_the_recurrent_students_of_the_paper(student: str) -> None:
    def sizes(env: str) -> list[Any]:
        config = leaves(read("dagger", [f"env={env}", "preset=paper", f"student={student}"]))
        names = ("encoder_layers", "decoder_layers", "encoder_width", "width", "projection")
        return [config[f"student.{name}"] for name in names]

    assert sizes("IWSLT-v0") == [2, 2, 256, 512, 0]
    assert sizes("WMT16-v0") == [4, 4, 1024, 2048, 256]
    assert sizes("CNNDM-v0") == [2, 2, 512, 1024, 256]


@pytest.mark.parametrize(
    ("text", "rate"), [("null", None), ("0.25", 0.25), ("1", 1.0), ("5e-3", 0.005)]
)
def test_a_rate_is_a_number_or_null(text: str, rate: float | None) -> None:
    value = read("dagger", ["env=Copy-v0", f"algorithm.rate={text}"]).algorithm.rate
    assert value == rate
    assert type(value) is type(rate)
    with pytest.raises(UserError, match=r"algorithm\.rate=much: expected float"):
        read("dagger", ["env=Copy-v0", "algorithm.rate=much"])
