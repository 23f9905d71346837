"""The training loop: resuming, validating, stopping on NaN and on signals."""

import itertools
import signal
import weakref

import pytest
import torch

from agents.algorithms.bc import BC
from agents.training.checkpoint import load_tensors
from agents.training.signals import Interrupted
from agents.training.trainer import decay_groups, optimizer_step
from support.training import (
    STEPS,
    CrashError,
    equal_checkpoints,
    equal_weights,
    fit,
    last_checkpoint,
    metrics_rows,
    new_student,
    press_ctrl_c,
)
from textgen_env.errors import UserError


@pytest.mark.parametrize("step", [5, 9])
def test_killed_training_resumes_bitwise(straight, tmp_path, step):
    with pytest.raises(CrashError):
        fit(tmp_path, at=step)
    resumed, state = fit(tmp_path, resume=True)
    assert equal_weights(straight[0], resumed)
    assert state.step == STEPS
    assert [row["step"] for row in metrics_rows(tmp_path)] == list(range(1, STEPS + 1))
    assert equal_checkpoints(straight[1], tmp_path)


def test_ctrl_c_finishes_the_step_and_saves(straight, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="interrupted after step 6 of 12"):
        fit(tmp_path, at=6, action=press_ctrl_c)
    assert signal.getsignal(signal.SIGINT) is handler
    assert load_tensors(last_checkpoint(tmp_path))[1]["progress"]["step"] == 6
    resumed, _ = fit(tmp_path, resume=True)
    assert equal_weights(straight[0], resumed)


@pytest.mark.parametrize("validation", range(4))
def test_a_signal_ends_a_validation_and_a_resume_repeats_it(tmp_path, validation):
    scores, received, finished = [2.0, 1.0, 3.0, 3.0], [], []

    class Receiver(BC):
        def validated(self, metrics):
            received.append(dict(metrics))

    def interrupted():
        yield from scores[:validation]
        signal.raise_signal(signal.SIGTERM)
        finished.append(validation)

    settings = {"algorithm": Receiver, "validate_first": True, "patience": 9}
    straight, expected = fit(tmp_path / "straight", scores=scores, **settings)
    told = received[:]
    received.clear()
    step = STEPS * validation // 3
    with pytest.raises(Interrupted, match=f"interrupted after step {step} of 12") as error:
        fit(tmp_path / "run", scores=interrupted(), **settings)
    assert (error.value.number, finished) == (signal.SIGTERM, [])
    resumed, state = fit(tmp_path / "run", resume=True, scores=scores[validation:], **settings)
    assert received == told
    assert equal_weights(straight, resumed)
    assert equal_checkpoints(tmp_path / "straight", tmp_path / "run")
    assert state.summary(9) == expected.summary(9)
    assert state.waited == expected.waited
    values = [
        [row["valid_score"] for row in metrics_rows(tmp_path / name) if "valid_score" in row]
        for name in ("straight", "run")
    ]
    assert values == [scores, scores]


def test_a_validation_that_is_due_does_not_start_after_a_signal(straight, tmp_path):
    with pytest.raises(Interrupted, match="interrupted after step 8 of 12"):
        fit(tmp_path, at=8, action=press_ctrl_c, scores=[1])
    resumed, _ = fit(tmp_path, resume=True)
    assert equal_weights(straight[0], resumed)


def test_seed_changes_the_weights(straight, tmp_path):
    assert not equal_weights(straight[0], fit(tmp_path, seed=1)[0])


def test_training_restores_the_global_random_state(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    fit(tmp_path)
    assert torch.equal(torch.rand(4), expected)


# --- validation


def test_best_validation_is_kept(tmp_path):
    _, state = fit(tmp_path, scores=[1, 3, 2])
    assert (state.best, state.best_step) == (3, 8)
    assert load_tensors(tmp_path / "checkpoints" / "best.safetensors")[1]["step"] == 8


@pytest.mark.parametrize(("scores", "best"), [([4, 1, 3, 2], (4, 0)), ([1, 2, 3, 1], (3, 8))])
def test_initial_weights_can_be_the_best(tmp_path, scores, best):
    policy, state = fit(tmp_path, scores=scores, validate_first=True)
    assert (state.best, state.best_step) == best
    first = metrics_rows(tmp_path)[0]
    assert (first["step"], first["valid_score"], first["gradient_tokens"]) == (0, scores[0], 0)
    assert equal_weights(policy, new_student()) == (best[1] == 0)


def test_training_killed_before_its_first_checkpoint_logs_the_first_validation_once(tmp_path):
    with pytest.raises(CrashError):
        fit(tmp_path, at=2, validate_first=True)
    fit(tmp_path, resume=True, validate_first=True)
    assert [row["step"] for row in metrics_rows(tmp_path)] == list(range(STEPS + 1))


def test_patience_stops_after_validations_without_a_better_score(tmp_path, capsys):
    policy, state = fit(tmp_path, scores=[1, 3, 3, 2], patience=2, validations=6)
    assert state.summary(2) == {
        **{"steps": 8, "best_step": 6, "improved_step": 4, "stopped": "patience"}
    }
    assert [row["validations_without_improvement"] for row in metrics_rows(tmp_path)[1::2]] == [
        *(0, 0, 1, 2)
    ]
    message = "student: stopped after step 8 of 12: no better score in 2 validations"
    assert message in " ".join(capsys.readouterr().err.split())
    resumed, state = fit(tmp_path, resume=True, patience=2, validations=6)
    assert state.step == 8
    assert equal_weights(policy, resumed)


@pytest.mark.parametrize("validate_first", [False, True])
def test_a_training_without_improvement_keeps_its_first_validation(tmp_path, validate_first):
    scores = [3, 2, 1, 1]
    _, state = fit(
        tmp_path, scores=scores, patience=3, validations=6, validate_first=validate_first
    )
    assert state.best_step == (0 if validate_first else 2)
    assert state.step == state.best_step + 6


def test_the_count_of_validations_without_improvement_survives_a_resume(tmp_path):
    settings = {"patience": 3, "validations": 6}
    with pytest.raises(CrashError):
        fit(tmp_path, at=7, scores=[3, 2, 1], **settings)
    _, state = fit(tmp_path, resume=True, scores=[1], **settings)
    assert (state.step, state.waited) == (8, 3)


def test_algorithm_receives_the_metrics_of_every_validation(tmp_path):
    received = []

    class Receiver(BC):
        def validated(self, metrics):
            received.append(metrics["valid_score"])

    fit(tmp_path, algorithm=Receiver, validate_first=True, scores=[1, 2, 3, 4])
    assert received == [1, 2, 3, 4]


def test_throughput_excludes_validation(tmp_path):
    _, state = fit(tmp_path, validate_first=True)
    rows = metrics_rows(tmp_path)
    seconds = sum(
        (after["gradient_tokens"] - before["gradient_tokens"]) / after["tokens_per_second"]
        for before, after in itertools.pairwise(rows)
    )
    assert seconds == pytest.approx(state.cost.seconds)
    assert seconds == pytest.approx(sum(state.profile.values()))
    assert 0 < rows[0]["validation_seconds"] < rows[-1]["validation_seconds"]
    assert rows[-1]["validation_seconds"] == state.cost.validation_seconds


# --- losses and gradients


def test_nan_loss_stops_and_keeps_the_last_finite_state(tmp_path):
    message = r"step 7: the loss is nan.*last\.safetensors holds the last finite state.*train\.lr"
    with pytest.raises(UserError, match=message):
        fit(tmp_path, at=7, action=lambda: float("nan"))
    tensors, header = load_tensors(last_checkpoint(tmp_path))
    assert header["progress"]["step"] == 4
    assert all(tensor.isfinite().all() for tensor in tensors.values())


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_nonfinite_gradient_changes_no_weight_and_no_moment(factor):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], lr=0.1, fused=True)

    def step(factor):
        (weight * factor).sum().backward()
        norm = optimizer_step([weight], optimizer, 0.1, 5.0)
        tensors = weight.detach(), *optimizer.state[weight].values()
        return norm, [tensor.clone() for tensor in tensors]

    _, before = step(2)
    norm, after = step(factor)
    assert not norm.isfinite()
    assert all(map(torch.equal, before, after))
    _, after = step(2)
    assert after[0].isfinite().all()
    assert not torch.equal(after[0], before[0])


def test_gradients_and_graph_are_freed_after_each_step(tmp_path, monkeypatch):
    loss, graphs = BC.loss, []

    def recorded(self, batch, clock):
        assert all(weight.grad is None for weight in self.policy.parameters())
        assert all(graph() is None for graph in graphs)
        output = loss(self, batch, clock)
        graphs.append(weakref.ref(output.sum))
        return output

    monkeypatch.setattr(BC, "loss", recorded)
    fit(tmp_path)
    assert len(graphs) == STEPS


def test_without_weight_decay_an_update_is_that_of_adam():
    weights = [torch.nn.Parameter(torch.arange(6.0).view(2, 3)), torch.nn.Parameter(torch.ones(3))]
    others = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
    optimizers = (
        torch.optim.AdamW(decay_groups(weights, 0.0), fused=True),
        torch.optim.Adam(others, fused=True),
    )
    for optimizer, group in zip(optimizers, (weights, others), strict=True):
        for _ in range(3):
            sum(w.pow(3).sum() for w in group).backward()
            optimizer_step(group, optimizer, 0.1, 5.0)
    assert all(map(torch.equal, weights, others))


def test_weight_decay_shrinks_matrices_only(straight, tmp_path):
    plain = straight[0].state_dict()
    decayed = fit(tmp_path, weight_decay=2.0)[0].state_dict()
    norms = {name: (decayed[name].norm() / plain[name].norm()).item() for name in plain}
    assert all(norms[name] < 0.95 for name in plain if plain[name].dim() > 1)
    weight = torch.nn.Parameter(torch.ones(3))
    assert decay_groups([weight], 2.0)[1] == {"params": [weight], "weight_decay": 0.0}


def test_checkpointing_changes_no_bit(straight, tmp_path):
    policy, _ = fit(tmp_path, checkpointing=True)  # with dropout
    assert equal_weights(straight[0], policy)


def test_scalar_loss_is_the_mean_over_real_tokens(straight, tmp_path):
    class Scalar(BC):
        def loss(self, batch, clock):
            return super().loss(batch, clock).mean

    policy, _ = fit(tmp_path, algorithm=Scalar)
    for scalar, reference in zip(policy.parameters(), straight[0].parameters(), strict=True):
        torch.testing.assert_close(scalar, reference)
