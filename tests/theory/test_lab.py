"""Slopes by horizon, β schedules, and the script that writes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import cli
import t2_bound
from agents.algorithms.schedules import beta_schedule
from agents.theory import lab, mixtures
from agents.theory.bounds import cloning_regret, roll_in
from agents.theory.mdps import tightrope, walker
from textgen_env.errors import UserError


@pytest.fixture(scope="module")
def slopes() -> dict[tuple[str, str], lab.Slope]:
    horizons = lab.horizons(8, 1024)
    assert horizons[-1] == 1024
    curves = (*lab.horizon_curves(horizons, 1e-4), *lab.horizon_free(horizons, 10_000))
    return {(curve.setting, curve.learner): curve.slope for curve in curves}


@pytest.mark.parametrize(
    ("setting", "learner", "exponent"),
    [
        *(("recoverable", "cloning", 2), ("recoverable", "DAgger", 1)),
        *(("permanent", "cloning", 2), ("permanent", "DAgger", 2)),
        ("permanent, R=1", "one policy", 0),
        ("permanent, R=1", "policy per step", 1),
    ],
)
def test_regret_grows_with_the_expected_power_of_the_horizon(
    slopes: dict[tuple[str, str], lab.Slope], setting: str, learner: str, exponent: int
) -> None:
    slope = slopes[setting, learner]
    assert slope.value == pytest.approx(exponent, abs=0.04)
    assert slope.low <= slope.value <= slope.high


def test_a_guessing_learner_recovers_beyond_the_size_of_its_vocabulary(
    slopes: dict[tuple[str, str], lab.Slope],
) -> None:
    slope = slopes["recoverable", "cloning, guessing"]
    assert slope.high > 1.8
    assert slope.low < 1.15


def test_the_slope_of_a_power_law_is_its_exponent() -> None:
    slope = lab.fit_slope([2, 4, 8], [3 * T**1.5 for T in (2, 4, 8)])
    assert slope == pytest.approx((1.5, 1.5, 1.5))


def test_fewer_than_three_horizons_raise() -> None:
    with pytest.raises(UserError, match="at least three horizons"):
        lab.horizons(8, 16)


def test_expected_imitation_equals_gradient_descent_on_all_logits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mixtures, "SCHEDULES", {"one": ("exponential", 0.2)})
    descent = mixtures.Descent(iterations=5, rate=2.0, vocabulary=5)
    wrong = mixtures.train_tabular(7, "step", 1, np.random.default_rng(0), descent)
    mdp, expert = tightrope(7, climb=True, actions=5), walker(7, 0, 0, actions=5)
    logits = np.zeros((2, 5))
    for step in range(6):
        policy = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        learner, share = (
            np.broadcast_to(policy, (7, 2, 5)),
            beta_schedule("exponential", 0.2)(step / 5),
        )
        visits = roll_in(mdp, expert, learner, share, "step").mean(0)
        logits = logits + 2.0 * visits[:, None] * (expert[0] - policy)
    assert np.allclose(wrong[0, 0], 1 - policy[:, 0])


@pytest.fixture(scope="module")
def sweep() -> dict[tuple[str, str], dict]:
    rows = mixtures.sweep(np.random.default_rng(0), horizon=16, coins=8)
    return {(row["schedule"], row["granularity"]): row for row in rows}


@pytest.mark.parametrize("schedule", mixtures.SCHEDULES)
def test_a_coin_per_step_teaches_recovery_no_better_than_one_per_sequence(
    sweep: dict[tuple[str, str], dict], schedule: str
) -> None:
    step, sequence, batch = (sweep[schedule, name] for name in ("step", "sequence", "batch"))
    assert sequence["error_on_ground"] <= step["error_on_ground"]
    assert batch["low"] <= batch["regret"] <= batch["high"]
    assert sequence["low"] == pytest.approx(sequence["high"])


def test_schedules_differ_as_expected(sweep: dict[tuple[str, str], dict]) -> None:
    # Behavioral cloning never sees the ground, so it still guesses there.
    assert sweep["constant 1 (cloning)", "step"]["error_on_ground"] == 63 / 64
    # With β = 0 there is no coin.
    step, batch = (sweep["constant 0", name]["regret"] for name in ("step", "batch"))
    assert step == pytest.approx(batch)
    step, sequence = (sweep["linear to 0", name]["regret"] for name in ("step", "sequence"))
    assert sequence < step / 1.2


def test_the_script_writes_its_figure_and_its_results(tmp_path: Path) -> None:
    overrides = ["shortest=4", "longest=16", "epsilon=0.001", "mdps=60", "neural=false"]
    t2_bound.main(cli.read("t2_bound", [*overrides, f"out={tmp_path / 'new'}"]))
    results = json.loads((tmp_path / "new" / "t2_bound.json").read_text())
    assert results["settings"]["epsilon"] == 0.001
    curve = next(curve for curve in results["curves"] if curve["learner"] == "cloning")
    assert curve["regret"] == pytest.approx(cloning_regret(np.array(curve["horizon"]), 0.001))
    assert sum(results["cost_by_step"]["cloning"]) == pytest.approx(curve["regret"][-1])
    header = (tmp_path / "new" / "t2_bound.png").read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    assert header[16:] == (1920).to_bytes(4) + (1080).to_bytes(4)


@pytest.mark.parametrize(
    "override", ["epsilon=1", "mdps=0", "longest=9", "neural_epsilon=0", "neural_seeds=1"]
)
def test_the_script_rejects_values_out_of_range(tmp_path: Path, override: str) -> None:
    with pytest.raises(UserError, match=override.partition("=")[0]):
        t2_bound.main(cli.read("t2_bound", [override, f"out={tmp_path}"]))


def test_the_script_rejects_unknown_keys_and_a_file_as_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'epsilon'"):
        cli.read("t2_bound", ["epsilonn=0.1"])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="name a folder that can be written"):
        t2_bound.main(cli.read("t2_bound", ["neural=false", f"out={tmp_path / 'file'}"]))
