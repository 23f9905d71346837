"""The trainer: resume to the bit, stop on NaN, keep the best."""

import copy
import itertools
import json
import random
import signal
import weakref
from collections import deque
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch

from agents.algorithms import Algorithm, Loss
from agents.algorithms.bc import BC
from agents.model import build_policy
from agents.training import trainer
from agents.training.checkpoint import load_tensors, save_tensors
from agents.training.saving import Checkpoints
from agents.training.trainer import Interrupted, TrainConfig, train, update
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.tasks.copy import load

STEPS = 12


class Stop(Exception):
    pass


class At(Algorithm):
    """An algorithm to which ``happen`` happens at some step; what that returns spoils the loss."""

    def __init__(self, algorithm, step, happen):
        super().__init__()
        self.algorithm, self.step, self.happen = algorithm, step, happen

    def loss(self, batch, clock):
        loss = self.algorithm.loss(batch, clock)
        return Loss(loss.sum * self.happen(), loss.weight) if clock.step + 1 == self.step else loss


def die():
    raise Stop


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)
    return 1.0


def student(seed=0):
    task = load(train=200, valid=20, test=20)
    return build_policy("transformer", {"width": 16, "heads": 2, "ffn": 32, "dropout": 0.2}, task.vocabulary, seed)


def fit(folder, at=None, happen=die, resume=False, seed=0, scores=None, make=BC, lr=0.01, **more):
    task, policy = load(train=200, valid=20, test=20), student(seed)
    algorithm = make(policy)
    if at is not None:
        algorithm = At(algorithm, at, happen)
    values = iter(scores or ())

    def validate():
        score = next(values) if scores else sum(weight.abs().sum().item() for weight in policy.parameters())
        return {"valid_score": float(score), "valid_loss": 0.0}

    batches = Batches(task.splits["train"], 128, seed, task.limit)
    config = TrainConfig(STEPS, lr=lr, warmup=2, clip=1.0, validations=3, seed=seed, resume=resume, **more)
    progress = train(algorithm, policy, batches, validate, config, Checkpoints(folder, "student", {"vocabulary": "v"}))
    return policy, progress


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def same(left, right):
    return all(torch.equal(a, b) for a, b in zip(left.state_dict().values(), right.state_dict().values(), strict=True))


@pytest.mark.parametrize("stop", [5, 9])
def test_a_killed_run_resumes_to_the_bit(tmp_path, stop):
    straight, _ = fit(tmp_path / "straight")
    with pytest.raises(Stop):
        fit(tmp_path / "killed", at=stop)
    resumed, progress = fit(tmp_path / "killed", resume=True)
    assert same(straight, resumed)
    assert progress.step == STEPS
    rows = [json.loads(line) for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    files = (tmp_path / name / "checkpoints" / "last.safetensors" for name in ("straight", "killed"))
    (left, _), (right, _) = map(load_tensors, files)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_another_seed_gives_other_weights(tmp_path):
    assert not same(fit(tmp_path / "a")[0], fit(tmp_path / "b", seed=1)[0])


def test_the_best_validation_is_kept(tmp_path):
    _, progress = fit(tmp_path, scores=[1, 3, 2])
    assert (progress.best, progress.best_step) == (3, 8)
    assert load_tensors(tmp_path / "checkpoints" / "best.safetensors")[1]["step"] == 8


@pytest.mark.parametrize(("scores", "best"), [([4, 1, 3, 2], (4, 0)), ([1, 2, 3, 1], (3, 8))])
def test_the_weights_that_a_training_starts_from_may_be_the_best(tmp_path, scores, best):
    policy, progress = fit(tmp_path, scores=scores, validate_first=True)
    assert (progress.best, progress.best_step) == best
    start = rows_of(tmp_path)[0]
    assert (start["step"], start["valid_score"], start["gradient_tokens"]) == (0, scores[0], 0)
    if best[1] == 0:
        assert same(policy, student())


def test_a_training_that_was_stopped_before_it_saved_validates_its_start_once(tmp_path):
    with pytest.raises(Stop):
        fit(tmp_path, at=2, validate_first=True)
    fit(tmp_path, resume=True, validate_first=True)
    assert [row["step"] for row in rows_of(tmp_path)] == list(range(STEPS + 1))


def test_throughput_is_that_of_the_updates_and_validation_is_recorded_apart(tmp_path):
    _, progress = fit(tmp_path, validate_first=True)
    rows = rows_of(tmp_path)
    spent = [
        (after["gradient_tokens"] - before["gradient_tokens"]) / after["tokens_per_second"]
        for before, after in itertools.pairwise(rows)
    ]
    assert sum(spent) == pytest.approx(progress.cost.seconds) == pytest.approx(sum(progress.profile.values()))
    assert 0 < rows[0]["validation_seconds"] < rows[-1]["validation_seconds"] == progress.cost.validation_seconds


def test_a_nan_loss_stops_and_keeps_the_last_good_state(tmp_path):
    with pytest.raises(UserError, match=r"step 7: the loss is nan.*last\.safetensors holds the last good state.*train\.lr"):
        fit(tmp_path, at=7, happen=lambda: float("nan"))
    tensors, header = load_tensors(tmp_path / "checkpoints" / "last.safetensors")
    assert header["progress"]["step"] == 4
    assert all(tensor.isfinite().all() for tensor in tensors.values())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_no_weight_and_no_moment(bad: float):
    weight = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.Adam([weight], lr=0.1, fused=True)
    update((weight * 2).sum(), [weight], optimiser, 0.1, 5.0)
    before = weight.detach().clone(), *(each.clone() for each in optimiser.state[weight].values())
    norm = update((weight * bad).sum(), [weight], optimiser, 0.1, 5.0)
    assert not norm.isfinite()
    assert all(map(torch.equal, before, (weight.detach(), *optimiser.state[weight].values())))
    update((weight * 2).sum(), [weight], optimiser, 0.1, 5.0)
    assert weight.detach().isfinite().all()
    assert not torch.equal(weight.detach(), before[0])


def test_neither_gradients_nor_graph_of_a_step_outlive_it(tmp_path, monkeypatch):
    """They would lie in the memory that the next step needs, and the heap would grow around them."""
    loss, graphs = BC.loss, []

    def watched(self, batch, clock):
        assert all(weight.grad is None for weight in self.policy.parameters())
        assert all(graph() is None for graph in graphs)
        output = loss(self, batch, clock)
        graphs.append(weakref.ref(output.sum))
        return output

    monkeypatch.setattr(BC, "loss", watched)
    fit(tmp_path)
    assert len(graphs) == STEPS


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    fit(tmp_path)
    tensors, header = load_tensors(tmp_path / "checkpoints" / "last.safetensors")
    save_tensors(tmp_path / "checkpoints" / "last.safetensors", tensors, {**header, "vocabulary": "w"})
    with pytest.raises(UserError, match="belongs to another run: vocabulary"):
        fit(tmp_path, resume=True)


def test_ctrl_c_finishes_the_step_saves_and_can_go_on(tmp_path):
    straight, _ = fit(tmp_path / "straight")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="interrupted after step 6 of 12"):
        fit(tmp_path / "pressed", at=6, happen=press_ctrl_c)
    assert signal.getsignal(signal.SIGINT) is before
    resumed, _ = fit(tmp_path / "pressed", resume=True)
    assert same(straight, resumed)


class Several(Algorithm):
    """``count`` updates a round on groups of ``group`` batches; notes what it gets."""

    def __init__(self, policy, count=1, group=1):
        super().__init__()
        self.policy, self.count, self.batches_per_round = policy, count, group

    def updates(self, batches, clock):
        for number in range(self.count):
            batch = batches[number % len(batches)]
            yield Loss(self.policy(batch.source, batch.prefix, batch.mask).logsumexp(-1).sum(), batch.tokens)


@pytest.mark.parametrize(("count", "group"), [(5, 1), (3, 3), (1, 4), (64, 2)])
def test_rounds_end_with_the_training_and_resume_to_the_bit(tmp_path, count, group):
    make = partial(Several, count=count, group=group)
    straight, progress = fit(tmp_path / "straight", make=make)
    assert progress.step == STEPS
    assert progress.batches == sum(min(group, STEPS - step) for step in range(0, STEPS, count))
    assert rows_of(tmp_path / "straight")[-1]["step"] == STEPS
    with pytest.raises(Interrupted):
        fit(tmp_path / "stopped", make=lambda policy: Pressed(make(policy)))
    resumed, after = fit(tmp_path / "stopped", make=lambda policy: Pressed(make(policy), press=False), resume=True)
    assert same(straight, resumed)
    assert after.batches == progress.batches


class Pressed(Algorithm):
    """``algorithm``, with Ctrl-C in its first round."""

    def __init__(self, algorithm, press=True):
        super().__init__()
        self.algorithm, self.press, self.batches_per_round = algorithm, press, algorithm.batches_per_round

    def updates(self, batches, clock):
        if self.press and clock.step == 0:
            signal.raise_signal(signal.SIGINT)
        yield from self.algorithm.updates(batches, clock)


def test_more_updates_than_a_round_may_have_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "UPDATES_PER_ROUND", 4)
    with pytest.raises(UserError, match=r"Several\.updates yields more than 4 losses a round"):
        fit(tmp_path, make=partial(Several, count=5))


def test_a_round_without_a_loss_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"Several\.loss gives None"):
        fit(tmp_path, make=partial(Several, count=0))


# --- what would be lost on a resume


class Forgetful(BC):
    """State in ``keep``, changed by ``change`` at every step."""

    def __init__(self, policy, keep, change):
        super().__init__(policy)
        self.keep, self.change = keep, change

    def loss(self, batch, clock):
        self.keep = self.change(self.keep)
        return super().loss(batch, clock)


@dataclass
class Box:
    value: object


def in_place(change):
    def changed(value):
        change(value)
        return value

    return changed


LOST = {
    "a number": (0, lambda value: value + 1),
    "a tensor": (torch.zeros(2), lambda value: value + 1),
    "a tensor in place": (torch.zeros(2), in_place(lambda value: value.add_(1))),
    "a list": ([], in_place(lambda value: value.append(1))),
    "a queue": (deque(), in_place(lambda value: value.append(torch.ones(1)))),
    "a dictionary": ({}, in_place(lambda value: value.update(n=len(value) + 1))),
    "a set": (set(), in_place(lambda value: value.add(len(value)))),
    "an object": (Box(0), in_place(lambda value: setattr(value, "value", value.value + 1))),
    "a generator of torch": (torch.Generator(), in_place(lambda value: torch.rand(1, generator=value))),
    "a generator of numpy": (np.random.default_rng(0), in_place(lambda value: value.random())),
    "a generator of Python": (random.Random(0), in_place(lambda value: value.random())),
    "an array": (np.zeros(2), lambda value: value + 1),
}


@pytest.mark.parametrize("what", LOST)
def test_state_that_would_be_lost_on_a_resume_is_refused_by_name(tmp_path, what):
    keep, change = copy.deepcopy(LOST[what])
    with pytest.raises(UserError, match=r"Forgetful\.keep.* changes in training and would be lost on a resume: make it a"):
        fit(tmp_path, make=lambda policy: Forgetful(policy, keep, change))


class Counting(BC):
    """The same in a buffer, in a parameter and in an extra state."""

    def __init__(self, policy):
        super().__init__(policy)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.memory = Memory()

    def loss(self, batch, clock):
        self.seen += 1
        self.memory.rows.append(batch.tokens)
        loss = super().loss(batch, clock)
        return Loss(loss.sum * self.weight.mean() + self.seen + sum(self.memory.rows), loss.weight)


class Memory(torch.nn.Module):
    """State of a size that grows."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def get_extra_state(self):
        return {"rows": torch.tensor(self.rows, dtype=torch.int64)}

    def set_extra_state(self, state):
        self.rows = state["rows"].tolist()


@pytest.mark.parametrize("stop", [5, 9])
def test_state_in_buffers_parameters_and_extra_state_resumes_to_the_bit(tmp_path, stop):
    fit(tmp_path / "straight", make=Counting)
    with pytest.raises(Stop):
        fit(tmp_path / "killed", at=stop, make=Counting)
    fit(tmp_path / "killed", at=99, make=Counting, resume=True)
    fit(tmp_path / "at", at=99, make=Counting)
    files = (tmp_path / name / "checkpoints" / "last.safetensors" for name in ("at", "killed"))
    (left, _), (right, _) = map(load_tensors, files)
    assert {"algorithm.algorithm.seen", "algorithm.algorithm.memory._extra_state.rows"} < left.keys() == right.keys()
    assert left["algorithm.algorithm.seen"] == STEPS
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_scalar_is_the_mean_over_the_real_tokens(tmp_path):
    class Plain(BC):
        def loss(self, batch, clock):
            return super().loss(batch, clock).mean

    left, right = fit(tmp_path / "a")[0], fit(tmp_path / "b", make=Plain)[0]
    for a, b in zip(left.parameters(), right.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_training_leaves_the_callers_random_numbers_alone(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    fit(tmp_path)
    assert torch.equal(torch.rand(4), expected)
