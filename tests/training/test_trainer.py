"""The trainer: resume to the bit, stop on NaN, keep the best."""

import copy
import itertools
import json
import random
import re
import signal
import weakref
from collections import deque
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.algorithms import Algorithm, Loss
from agents.algorithms.bc import BC
from agents.generation.rollout import frozen_copy
from agents.training import trainer
from agents.training.checkpoint import load_tensors, save_tensors
from agents.training.trainer import Interrupted, update
from support.training import STEPS, Stop, fit, press_ctrl_c, rows_of, same, student
from textgen_env.errors import UserError
from textgen_env.types import Batch, Trajectories


@pytest.mark.parametrize("stop", [5, 9])
def test_a_killed_run_resumes_to_the_bit(tmp_path, stop):
    straight, _ = fit(tmp_path / "straight")
    with pytest.raises(Stop):
        fit(tmp_path / "killed", at=stop)
    resumed, progress = fit(tmp_path / "killed", resume=True)
    assert same(straight, resumed)
    assert progress.step == STEPS
    rows = [
        json.loads(line)
        for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    files = (
        tmp_path / name / "checkpoints" / "last.safetensors" for name in ("straight", "killed")
    )
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
    assert (
        sum(spent)
        == pytest.approx(progress.cost.seconds)
        == pytest.approx(sum(progress.profile.values()))
    )
    assert (
        0
        < rows[0]["validation_seconds"]
        < rows[-1]["validation_seconds"]
        == progress.cost.validation_seconds
    )


def test_a_nan_loss_stops_and_keeps_the_last_good_state(tmp_path):
    with pytest.raises(
        UserError,
        match=r"step 7: the loss is nan.*last\.safetensors holds the last good state.*train\.lr",
    ):
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
    save_tensors(
        tmp_path / "checkpoints" / "last.safetensors", tensors, {**header, "vocabulary": "w"}
    )
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
            yield Loss(
                self.policy(batch.source, batch.prefix, batch.mask).logsumexp(-1).sum(),
                batch.tokens,
            )


@pytest.mark.parametrize(("count", "group"), [(5, 1), (3, 3), (1, 4), (64, 2)])
def test_rounds_end_with_the_training_and_resume_to_the_bit(tmp_path, count, group):
    make = partial(Several, count=count, group=group)
    straight, progress = fit(tmp_path / "straight", make=make)
    assert progress.step == STEPS
    assert progress.batches == sum(min(group, STEPS - step) for step in range(0, STEPS, count))
    assert rows_of(tmp_path / "straight")[-1]["step"] == STEPS
    with pytest.raises(Interrupted):
        fit(tmp_path / "stopped", make=lambda policy: Pressed(make(policy)))
    resumed, after = fit(
        tmp_path / "stopped", make=lambda policy: Pressed(make(policy), press=False), resume=True
    )
    assert same(straight, resumed)
    assert after.batches == progress.batches


class Pressed(Algorithm):
    """``algorithm``, with Ctrl-C in its first round."""

    def __init__(self, algorithm, press=True):
        super().__init__()
        self.algorithm, self.press, self.batches_per_round = (
            algorithm,
            press,
            algorithm.batches_per_round,
        )

    def updates(self, batches, clock):
        if self.press and clock.step == 0:
            signal.raise_signal(signal.SIGINT)
        yield from self.algorithm.updates(batches, clock)


def test_more_updates_than_a_round_may_have_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "UPDATES_PER_ROUND", 4)
    with pytest.raises(UserError, match=r"Several\.updates yields more than 4 losses a round"):
        fit(tmp_path, make=partial(Several, count=5))


class Returns(BC):
    """What ``updates`` returns is ``give(loss)``."""

    def __init__(self, policy, give):
        super().__init__(policy)
        self.give = give

    def updates(self, batches, clock):
        return self.give(self.loss(batches[0], clock))


def twice_of_the_same_weights(loss):
    return [loss, Loss(loss.sum * 2, loss.weight)]


NO_LOSS = {
    "nothing": (lambda loss: iter(()), "Returns.updates yields no loss for a batch"),
    "an empty list": (lambda loss: [], "Returns.updates yields no loss for a batch"),
    "None": (
        lambda loss: None,
        "Returns.updates returns None; yield losses, or return a list of them",
    ),
    "a loss": (
        lambda loss: loss,
        "Returns.updates returns a Loss; yield losses, or return a list of them",
    ),
    "None first": (
        lambda loss: [None, loss],
        "Returns.updates yields None; give a scalar tensor or a Loss(",
    ),
    "None second": (
        lambda loss: [loss, None],
        "Returns.updates yields None; give a scalar tensor or a Loss(",
    ),
    "two at once": (
        twice_of_the_same_weights,
        "updates has to yield each loss before it computes the next",
    ),
}


@pytest.mark.parametrize("what", NO_LOSS)
def test_a_round_that_gives_no_losses_is_one_line_that_says_where(tmp_path, what):
    give, message = NO_LOSS[what]
    with pytest.raises(UserError, match=re.escape(message)) as error:
        fit(tmp_path, make=partial(Returns, give=give))
    assert "\n" not in str(error.value)


def test_a_list_is_as_good_as_a_generator(tmp_path):
    left, _ = fit(tmp_path / "a")
    right, _ = fit(tmp_path / "b", make=partial(Returns, give=lambda loss: [loss]))
    assert same(left, right)


class Uninitialized(Algorithm):
    def __init__(self, policy):
        self.policy = policy


class CriticFirst(Algorithm):
    def __init__(self, policy):
        self.critic = torch.nn.Linear(2, 1)


@pytest.mark.parametrize("make", [Uninitialized, CriticFirst])
def test_an_algorithm_that_does_not_initialize_its_base_is_one_line(tmp_path, make):
    with pytest.raises(
        UserError,
        match=rf"^{make.__name__}\.__init__ does not call super\(\)\.__init__\(\); call it first$",
    ):
        fit(tmp_path, make=make)


def test_an_algorithm_is_told_of_every_validation(tmp_path):
    told = []

    class Told(BC):
        def validated(self, metrics):
            told.append(metrics["valid_score"])

    fit(tmp_path, make=Told, validate_first=True, scores=[1, 2, 3, 4])
    assert told == [1, 2, 3, 4]


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


@dataclass(slots=True)
class Slots:
    value: object


class Calls:
    """A counter that is called."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1


class Cached:
    """Remembers what follows from the rest."""

    @cached_property
    def value(self):
        return 1


def named():
    """A function, which may have attributes."""


def numbers():
    number = 0
    while True:
        number += 1
        yield number


def unregistered():
    """A module that is registered nowhere."""
    module = torch.nn.Linear(2, 1)
    module.register_buffer("seen", torch.zeros(()), persistent=False)
    return [torch.nn.Sequential(module)]


def episodes(number=0):
    return Trajectories(torch.full((1, 2), number), torch.full((1,), 2), torch.zeros(1))


def some_batch(number=0):
    return Batch(*(torch.full(shape, number) for shape in ((1,), (1, 2), (1, 2), (1,), (1,))))


def more(policy):
    """One more step of an average of weights."""
    for weight in policy.parameters():
        weight.data.lerp_(torch.ones_like(weight), 0.1)


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
    "a generator of torch": (
        torch.Generator(),
        in_place(lambda value: torch.rand(1, generator=value)),
    ),
    "a generator of numpy": (np.random.default_rng(0), in_place(lambda value: value.random())),
    "a generator of Python": (random.Random(0), in_place(lambda value: value.random())),
    "an array": (np.zeros(2), lambda value: value + 1),
    "a number of numpy": (np.float32(0), lambda value: value + np.float32(1)),
    "minus one, whose hash is that of minus two": (
        -1,
        lambda value: -3 - value if value == -1 else value,
    ),
    "an old generator of numpy": (np.random.RandomState(0), in_place(lambda value: value.rand())),
    "a bit generator": (np.random.PCG64(0), in_place(lambda value: value.random_raw())),
    "a copy of a policy": (frozen_copy(student()), in_place(more)),
    "copies in a list": ([student(), student()], in_place(lambda value: more(value[1]))),
    "a copy that is replaced": (student(), lambda value: student(seed=5)),
    "a module in a list": (unregistered(), in_place(lambda value: value[0][0].weight.data.add_(1))),
    "a buffer of a module in a list": (
        unregistered(),
        in_place(lambda value: value[0][0].seen.add_(1)),
    ),
    "an attribute of a module in a list": (
        unregistered(),
        in_place(lambda value: setattr(value[0][0], "n", torch.rand(1))),
    ),
    "slots": (Slots(0), in_place(lambda value: setattr(value, "value", value.value + 1))),
    "slots in a list": (
        [Slots(0)],
        in_place(lambda value: setattr(value[0], "value", value[0].value + 1)),
    ),
    "a batch": (
        [some_batch()],
        in_place(lambda value: value.__setitem__(0, some_batch(int(value[0].index) + 1))),
    ),
    "a batch that comes late": (None, lambda value: some_batch()),
    "episodes that come late": ([None], in_place(lambda value: value.__setitem__(0, episodes()))),
    "an object that comes late": (None, lambda value: object()),
    "the order of a dictionary": (
        {1: 0, "1": 0, 2: 0},
        lambda value: dict([*value.items()][1:] + [*value.items()][:1]),
    ),
    "keys that look alike": (
        {1: 0, "1": 0},
        in_place(lambda value: value.update({1: value[1] + 1})),
    ),
    "a count": (itertools.count(), in_place(next)),
    "an iterator of a list": (iter([0] * 99), in_place(next)),
    "an iterator in an iterator": (map(abs, iter(range(99))), in_place(next)),
    "a callable object": (Calls(), in_place(lambda value: value())),
    "an attribute of a function": (
        named,
        in_place(lambda value: setattr(value, "n", getattr(value, "n", 0) + 1)),
    ),
    "a function": (named, lambda value: numbers),
}
KEPT = {
    "a copy of a policy": (student(), in_place(lambda value: value.train(not value.training))),
    "copies in a list": (
        [student(), student()],
        in_place(lambda value: value.reverse() or value.reverse()),
    ),
    "a module in a list": (unregistered(), in_place(lambda value: value[0](torch.zeros(1, 2)))),
    "a batch": ([some_batch()], in_place(lambda value: value.__setitem__(0, some_batch()))),
    "a count": (itertools.count(), lambda value: itertools.count()),
    "a path": (Path("a"), in_place(str)),
    "what follows from the rest": (Cached(), in_place(lambda value: value.value)),
    "a generator of Python": (random.Random(0), in_place(lambda value: value.seed(0))),
}


@pytest.mark.parametrize("what", LOST)
def test_state_that_would_be_lost_on_a_resume_is_refused_by_name(tmp_path, what):
    keep, change = copy.deepcopy(LOST[what])
    with pytest.raises(
        UserError,
        match=r"Forgetful\.keep.* changes in training and would be lost on a resume: make it a",
    ):
        fit(tmp_path, make=lambda policy: Forgetful(policy, keep, change))


@pytest.mark.parametrize("what", KEPT)
def test_what_does_not_change_may_be_kept_anywhere(tmp_path, what):
    keep, change = copy.deepcopy(KEPT[what])
    fit(tmp_path, make=lambda policy: Forgetful(policy, keep, change))


def test_a_generator_of_the_languages_is_refused_where_it_goes_on(tmp_path):
    with pytest.raises(UserError, match=r"Forgetful\.keep\.number changes in training"):
        fit(tmp_path, make=lambda policy: Forgetful(policy, numbers(), in_place(next)))


def test_a_buffer_that_is_not_persistent_is_refused_where_it_changes(tmp_path):
    class Forgets(BC):
        def __init__(self, policy, rate):
            super().__init__(policy)
            self.rate = rate
            self.register_buffer("seen", torch.zeros(()), persistent=False)

        def loss(self, batch, clock):
            self.seen += self.rate
            return super().loss(batch, clock)

    fit(tmp_path / "a", make=partial(Forgets, rate=0))
    with pytest.raises(UserError, match=r"Forgets\.seen changes in training and would be lost"):
        fit(tmp_path / "b", make=partial(Forgets, rate=1))


def test_what_is_saved_by_others_may_be_kept_too(tmp_path):
    """The policy, its weights, the oracle, the reward and the weights that a recurrent layer lists."""

    class Expert:
        queries = 0

        def log_probs(self, source, prefix, mask=None):
            self.queries += 1

        action = log_probs

    class Keeps(BC):
        def __init__(self, policy):
            super().__init__(policy)
            self.oracle, self.experts, self.reward = Expert(), [Expert()], Calls()
            self.also, self.weights, self.layers = (
                [policy],
                [*policy.parameters()],
                [*policy.children()],
            )
            self.critic = torch.nn.LSTM(2, 2)

        def loss(self, batch, clock):
            self.reward()
            for oracle in (self.oracle, *self.experts):
                oracle.action(batch.source, batch.prefix)
            loss = super().loss(batch, clock)
            return Loss(loss.sum + self.critic(torch.ones(1, 2))[0].sum(), loss.weight)

    fit(tmp_path, make=Keeps)


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
    assert (
        {"algorithm.algorithm.seen", "algorithm.algorithm.memory._extra_state.rows"}
        < left.keys()
        == right.keys()
    )
    assert left["algorithm.algorithm.seen"] == STEPS
    assert all(torch.equal(left[name], right[name]) for name in left)


class Extra(BC):
    """An extra state of ``make(number of batches)``, which the loss depends on."""

    def __init__(self, policy, make):
        super().__init__(policy)
        self.seen, self.make = 0, make
        self.state = make(0)

    def loss(self, batch, clock):
        self.seen += 1
        self.state = self.make(self.seen)
        loss = super().loss(batch, clock)
        return Loss(loss.sum * (1 + self.seen / 9), loss.weight)

    def get_extra_state(self):
        return self.state

    def set_extra_state(self, state):
        self.state = state
        self.seen = next(n for n in range(99) if str(self.make(n)) == str(state))
        assert type(state) is type(self.make(0))


EXTRA = {
    "a number": int,
    "a fraction": lambda n: n / 3,
    "a text": str,
    "a tensor": torch.tensor,
    "a dictionary": lambda n: {"n": n},
    "keys that are numbers": lambda n: {n: "β", (1, 2): None},
    "a tensor among others": lambda n: {
        "n": [n, (n, torch.tensor(n))],
        "empty": {},
        "more": {"deep": [torch.ones(2, n)]},
    },
    "a list of tensors": lambda n: [torch.tensor(n), torch.tensor(n / 3)],
    "of a size that grows": lambda n: [0.1] * n,
}


@pytest.mark.parametrize("what", EXTRA)
def test_an_extra_state_is_tensors_numbers_texts_or_lists_and_dictionaries_of_them(tmp_path, what):
    make = partial(Extra, make=EXTRA[what])
    straight, _ = fit(tmp_path / "straight", make=make)
    with pytest.raises(Stop):
        fit(tmp_path / "killed", at=9, make=make)
    resumed, _ = fit(tmp_path / "killed", at=99, make=make, resume=True)
    assert same(straight, resumed)


@pytest.mark.parametrize(
    ("state", "kind"), [(np.zeros(2), "ndarray"), ({"a": [object()]}, "object"), ({1, 2}, "set")]
)
def test_another_extra_state_is_refused_before_the_first_step(tmp_path, state, kind):
    with pytest.raises(
        UserError,
        match=rf"^Extra\.get_extra_state gives a {kind}; return tensors, numbers, texts or lists",
    ):
        fit(tmp_path, at=1, make=partial(Extra, make=lambda n: state))


def test_an_extra_state_that_nobody_can_set_is_refused(tmp_path):
    class Half(BC):
        def get_extra_state(self):
            return 3

    with pytest.raises(UserError, match="Half has get_extra_state without set_extra_state"):
        fit(tmp_path, make=Half)


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
