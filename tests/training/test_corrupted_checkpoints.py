"""Corrupted checkpoints and metrics, and overflowing weights: one-line errors, nothing is lost."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents.training.checkpoint import load_tensors, load_weights, save_tensors
from support.files import flip_bit, truncate
from support.training import (
    STEPS,
    CrashError,
    equal_checkpoints,
    equal_weights,
    fit,
    last_checkpoint,
    metrics_rows,
)
from textgen_env.errors import UserError


def error_of(call, *args, **settings) -> str:
    """The message of the UserError, which has one line."""
    with pytest.raises(UserError) as error:
        call(*args, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_intact_checkpoint_with_state_resumes_bitwise(straight_stateful, killed, stateful):
    resumed, _ = fit(killed, resume=True, algorithm=stateful)
    assert equal_weights(straight_stateful[0], resumed)
    assert equal_checkpoints(straight_stateful[1], killed)


# --- checkpoints that are intact files with wrong content


def tensor(name, change):
    """Replaces a tensor by ``change(tensor)``; ``change`` is None to delete it."""

    def corrupt(tensors, header):
        old = tensors.pop(name, torch.zeros(2))
        if change:
            tensors[name] = change(old)

    return corrupt


def field(path, value):
    """Sets a field of the header; ``value`` is ``...`` to delete it."""

    def corrupt(tensors, header):
        *owners, name = path.split(".")
        for owner in owners:
            header = header[owner]
        if value is ...:
            del header[name]
        else:
            header[name] = value

    return corrupt


def first(count):
    return lambda tensor: tensor.flatten()[:count].clone()


def filled(value):
    return lambda tensor: torch.full_like(tensor, value)


unchanged = torch.clone
EMBEDDING = "policy.target_embedding.weight"
WRONG_CONTENT = [  # (how it is corrupted, what the error says)
    (tensor("optimizer.0.exp_avg", first(1)), "optimizer.0.exp_avg has shape (1,), expected"),
    (tensor("optimizer.3.exp_avg_sq", first(2)), "optimizer.3.exp_avg_sq has shape (2,)"),
    (tensor("optimizer.0.exp_avg", torch.Tensor.double), "exp_avg has dtype torch.float64"),
    (tensor("optimizer.1.exp_avg", None), "optimizer.1.exp_avg is missing"),
    (tensor("optimizer.1.exp_avg_sq", None), "optimizer.1.exp_avg_sq is missing"),
    (tensor("optimizer.1.step", None), "optimizer.1.step is missing"),
    (tensor("optimizer.0.step", torch.atleast_1d), "optimizer.0.step has shape (1,), expected ()"),
    (tensor("optimizer.99.exp_avg", unchanged), "optimizer.99.exp_avg is unexpected"),
    (tensor("optimizer.0.max_exp_avg_sq", unchanged), "optimizer.0.max_exp_avg_sq is unexpected"),
    (tensor("optimizer.0.exp_avg", filled(float("nan"))), "optimizer.0.exp_avg is NaN"),
    (tensor("unknown", unchanged), "unknown is unexpected"),
    (tensor(EMBEDDING, first(2)), "target_embedding.weight has shape (2,)"),
    (tensor(EMBEDDING, torch.Tensor.half), "target_embedding.weight has dtype torch.float16"),
    (tensor(EMBEDDING, None), "target_embedding.weight is missing"),
    (tensor(EMBEDDING, filled(float("nan"))), "target_embedding.weight is NaN or infinite"),
    (tensor(EMBEDDING, filled(float("inf"))), "target_embedding.weight is NaN or infinite"),
    (tensor("algorithm.seen", first(1)), "size mismatch for seen"),
    (tensor("algorithm.seen", lambda _: torch.zeros(3)), "RuntimeError: "),
    (tensor("algorithm.seen", torch.Tensor.long), "state of Stateful: seen has dtype torch.int64"),
    (tensor("algorithm.seen", None), 'Missing key(s) in state_dict: "seen"'),
    (tensor("algorithm.more", unchanged), 'Unexpected key(s) in state_dict: "more"'),
    (field("vocabulary", "w"), "belongs to a different run (differs in vocabulary)"),
    (field("progress", ...), "progress is null"),
    (field("progress", [1]), "progress is [1]"),
    (field("progress.step", "8"), 'progress.step is "8"'),
    (field("progress.step", -1), "progress.step is -1"),
    (field("progress.step", True), "progress.step is true"),
    (field("progress.step", STEPS + 1), f"progress.step is {STEPS + 1} and progress.best_step 8"),
    (field("progress.best_step", 9), "progress.step is 8 and progress.best_step 9"),
    (field("progress.best", "x"), 'progress.best is "x"'),
    (field("progress.best", float("nan")), "progress.best is NaN"),
    (field("progress.best", ...), "progress has no best"),
    (field("progress.epoch", 1), "progress.epoch is unknown"),
    (field("progress.cost.dollars", 1), "progress.cost.dollars is unknown"),
    (field("progress.cost.seconds", ...), "progress.cost has no seconds"),
    (field("progress.cost.gradient_tokens", -5), "gradient_tokens is -5"),
    (field("progress.cost.gradient_tokens", 0.5), "gradient_tokens is 0.5"),
    (field("progress.profile", 3), "progress.profile is 3"),
    (field("progress.profile.data", -1.0), "progress.profile.data is -1.0"),
]


@pytest.mark.parametrize(("corrupt", "message"), WRONG_CONTENT)
def test_error_names_the_file_and_the_wrong_tensor_or_field(killed, stateful, corrupt, message):
    path = last_checkpoint(killed)
    tensors, header = load_tensors(path)
    corrupt(tensors, header)
    save_tensors(path, tensors, header)
    error = error_of(fit, killed, resume=True, algorithm=stateful)
    assert message in error
    assert str(path) in error


# --- corrupted files

CORRUPTIONS = {
    "bit of a tensor": lambda data: flip_bit(data, len(data) - 100),
    "last bit": lambda data: flip_bit(data, len(data) - 1),
    "digit of the header": lambda data: data.replace(b'\\"step\\": 8', b'\\"step\\": 7', 1),
    "checksum": lambda data: flip_bit(data, data.index(b'"checksum":"') + 14),
    "truncated": truncate,
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("corrupt", CORRUPTIONS.values(), ids=CORRUPTIONS.keys())
@pytest.mark.parametrize("name", ["last", "best"])
def test_following_the_advice_on_a_corrupted_checkpoint_completes_the_training(
    straight_stateful, killed, stateful, corrupt, name
):
    path = killed / "checkpoints" / f"{name}.safetensors"
    corrupted = corrupt(path.read_bytes())
    assert corrupted != path.read_bytes()
    path.write_bytes(corrupted)
    error = error_of(fit, killed, resume=True, algorithm=stateful)
    assert error.startswith(str(path))
    assert "delete it, then resume=true" in error
    path.unlink()
    resumed, state = fit(killed, resume=True, algorithm=stateful)
    assert state.step == STEPS
    assert equal_weights(straight_stateful[0], resumed)


def test_lost_best_checkpoint_is_replaced_by_the_last(tmp_path, capsys):
    fit(tmp_path, scores=[1, 3, 2])
    best = tmp_path / "checkpoints" / "best.safetensors"
    best.write_bytes(truncate(best.read_bytes()))
    advice = f"delete it, then resume=true evaluates the weights of step {STEPS}"
    assert advice in error_of(fit, tmp_path, resume=True)
    best.unlink()
    _, state = fit(tmp_path, resume=True, scores=[2])
    assert (state.best, state.best_step) == (2, STEPS)
    assert load_tensors(best)[1]["step"] == STEPS
    output = " ".join(capsys.readouterr().err.split())
    assert f"(step 8) is missing; the weights of step {STEPS} are evaluated" in output


def test_training_killed_between_its_two_checkpoint_files_resumes_bitwise(
    straight, tmp_path, monkeypatch
):
    saved = []

    def save(path, tensors, header):
        saved.append(path.name)
        if len(saved) == 4:  # last, best, last, best
            raise CrashError
        save_tensors(path, tensors, header)

    with monkeypatch.context() as patch:
        patch.setattr("agents.training.saving.save_tensors", save)
        with pytest.raises(CrashError):
            fit(tmp_path)
    assert saved[-1] == "best.safetensors"
    resumed, _ = fit(tmp_path, resume=True)
    assert equal_weights(straight[0], resumed)


# --- weights that overflow


def test_overflow_names_the_weight_and_keeps_the_last_checkpoint(killed, stateful):
    path = last_checkpoint(killed)
    before = path.read_bytes()
    error = error_of(fit, killed, resume=True, algorithm=stateful, lr=1e39)
    assert "step 10: the loss is nan" in error
    assert "is NaN or infinite since step 9; stopped: " in error
    assert "last.safetensors holds the last finite state" in error
    assert path.read_bytes() == before
    fit(killed, resume=True, algorithm=stateful)


def test_overflow_that_affects_no_loss_is_not_saved(tmp_path, stateful):
    class Overflowing(stateful):
        def loss(self, batch, clock):
            if clock.step >= 5:
                self.idle.data.fill_(float("inf"))
            return super().loss(batch, clock)

    error = error_of(fit, tmp_path, algorithm=Overflowing)
    assert "algorithm.idle is NaN or infinite at step 8 (last saved step: 4); stopped: " in error
    assert load_tensors(last_checkpoint(tmp_path))[1]["progress"]["step"] == 4


def test_loading_nan_weights_is_rejected():
    tensors = {"weight": torch.tensor([[1.0, float("nan")]])}
    error = error_of(load_weights, torch.nn.Linear(2, 1, bias=False), tensors, "x")
    assert error.startswith("x: weight is NaN or infinite")


# --- metrics


def test_corrupted_row_of_metrics_is_named(killed, stateful):
    path = killed / "metrics.jsonl"
    intact = path.read_bytes()
    resume = partial(fit, killed, resume=True, algorithm=stateful)
    for row in (b"3", b"{}", b"\xff", b'{"step": 9, "pha', b'{"step": -1, "phase": "student"}'):
        path.write_bytes(row + b"\n" + intact)
        error = error_of(resume)
        assert error.startswith(f"{path}:1: not a row of this file (")
        assert error.endswith("; remove the line")
    path.write_bytes(intact)
    resume()


def test_incomplete_last_row_of_metrics_is_dropped(killed, stateful):
    with open(killed / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 9, "pha')
    fit(killed, resume=True, algorithm=stateful)
    assert [row["step"] for row in metrics_rows(killed)] == list(range(1, STEPS + 1))


def test_tensorboard_matches_the_metrics_after_a_resume(killed, stateful):
    fit(killed, resume=True, algorithm=stateful)
    events = EventAccumulator(str(killed / "tensorboard")).Reload()
    losses = {event.step: event.value for event in events.Scalars("student/loss")}
    assert losses == {row["step"]: pytest.approx(row["loss"]) for row in metrics_rows(killed)}
    assert "student/valid_score" in events.Tags()["scalars"]
