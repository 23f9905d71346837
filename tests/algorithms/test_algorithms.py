"""Every algorithm that can be named solves Copy-v0; the roll-in is the mixture it claims to be."""

import pytest
import torch

import agents.algorithms
from agents.algorithms import Clock
from agents.algorithms.dagger import relabel
from agents.discovery import variants
from agents.generation.rollout import rollout
from agents.runs.student import check_start
from cli import passing, read
from support.copying import SHORT, fit
from support.learners import START, batch_of, first_loss, make, small_policy
from textgen_env.errors import UserError
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.profiler import Profiler
from textgen_env.tasks.task import expert

FROM_SCRATCH = [*SHORT, "train.steps=300"]
FEW = [*SHORT, "reward=accuracy", "train.lr=1e-3", "train.warmup=10"]
STEPS = {
    "aggrevated": 500
}  # one action a row, judged by rollouts: it takes longer than the others' 350


def needs_start(name):
    """Whether it refuses a student that was not trained before."""
    algorithm = variants(agents.algorithms)[name]
    return algorithm.func.needs_start and not algorithm.keywords.get("cold_start")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """The run folder of a student that copies most short strings."""
    folder = tmp_path_factory.mktemp("start")
    assert 60 <= fit(folder, [*SHORT, "algorithm=bc", "train.steps=140"]) <= 90
    return folder


@pytest.mark.parametrize("name", variants(agents.algorithms))
def test_it_solves_copy(name, tmp_path, start):
    warm = (
        needs_start(name) or name == "aggrevated_exact"
    )  # which from fresh weights can come to rest on a plateau
    few = passing("dagger", FEW, name, "transformer")  # some learn from no rewards
    words = [*few, f"init={start}", f"train.steps={STEPS.get(name, 350)}"] if warm else FROM_SCRATCH
    assert fit(tmp_path, [*words, f"algorithm={name}"]) >= 99


@pytest.mark.parametrize(
    "name", [name for name in variants(agents.algorithms) if needs_start(name)]
)
def test_one_that_only_improves_a_student_wants_one(name):
    with pytest.raises(
        UserError,
        match=f"algorithm={name} improves a student that can already generate: give init=RUN",
    ):
        check_start(read("dagger", ["env=Copy-v0", f"algorithm={name}"]))
    check_start(read("dagger", ["env=Copy-v0", f"algorithm={name}", "algorithm.cold_start=true"]))


# --- DAgger


def dagger(task, **settings):
    return make("imitkd_full", task, small_policy(task), **settings)


def at(progress):
    return Clock(seed=0, step=round(progress * 1000), steps=1000)


def spent(algorithm, batch, clock=START):
    """The loss, how many tokens the student decoded for it, and at how many positions the oracle was queried."""
    before = algorithm.oracle.queries
    with Profiler({}, "rest") as profiler:
        loss = first_loss(algorithm, batch, clock)
    return loss, profiler.counts.get("decoded", 0), algorithm.oracle.queries - before


def test_beta_one_is_the_data_and_beta_zero_the_student(task):
    for rate, share in ((1.0, 0.0), (0.0, 1.0)):
        loss, decoded, _ = spent(dagger(task, beta="constant", rate=rate), batch_of(task), at(0.5))
        assert loss.metrics["on_policy"] == share
        assert (decoded > 0) == (share == 1)


def test_the_coin_is_per_sequence(task):
    batch, algorithm = batch_of(task), dagger(task, beta="constant", rate=0.5)
    shares = []
    for step in range(30):
        mixed, on_policy = algorithm.roll_in(batch, START.later(step))
        width = min(mixed.target.shape[1], batch.target.shape[1])
        assert torch.equal(mixed.target[~on_policy, :width], batch.target[~on_policy, :width])
        assert torch.equal(mixed.length[~on_policy], batch.length[~on_policy])
        rows = batch.rows(on_policy)
        alone = rollout(algorithm.policy, rows.source, rows.limit)
        assert torch.equal(mixed.length[on_policy], alone.length)
        assert torch.equal(mixed.rows(on_policy).target[:, : alone.action.shape[1]], alone.action)
        shares.append(on_policy.float().mean().item())
    assert 0 < min(shares) < max(shares) < 1
    assert abs(sum(shares) / 30 - 0.5) < 4 * (0.25 / (30 * len(batch))) ** 0.5


def test_one_coin_may_decide_about_the_whole_batch(task):
    batch, algorithm = batch_of(task), dagger(task, beta="constant", rate=0.5, mixture="batch")
    coins = {
        algorithm.roll_in(batch, START.later(step))[1].float().mean().item() for step in range(20)
    }
    assert coins == {0.0, 1.0}


def test_by_steps_the_share_of_the_oracles_actions_is_beta(task):
    """The oracle copies and the student is untrained, so that a right action is the oracle's."""
    batch, algorithm = batch_of(task), dagger(task, beta="constant", rate=0.5, mixture="step")
    right = []
    for step in range(20):
        mixed, _ = algorithm.roll_in(batch, START.later(step))
        right.append(
            (algorithm.oracle.action(mixed.source, mixed.prefix) == mixed.target)[mixed.mask]
        )
    student = dagger(task, beta="constant", rate=0.0, mixture="step")
    mixed, on_policy = student.roll_in(batch, START)
    assert on_policy.all()
    chance = (
        (student.oracle.action(mixed.source, mixed.prefix) == mixed.target)[mixed.mask]
        .float()
        .mean()
    )
    assert torch.cat(right).float().mean() == pytest.approx(0.5 + 0.5 * chance.item(), abs=0.08)


def test_by_steps_whoever_never_acts_never_steps(task, monkeypatch):
    for rate, queries in ((0.0, 0), (1.0, 1)):
        algorithm = dagger(task, beta="constant", rate=rate, mixture="step")
        if rate:
            monkeypatch.setattr(algorithm.policy, "start", None)
        mixed, on_policy = algorithm.roll_in(batch_of(task), START)
        assert bool(algorithm.oracle.queries) == queries
        assert on_policy.all() == (not rate)
        assert torch.equal(
            mixed.target, expert(task).demonstrate(mixed.source, mixed.limit).action
        ) == bool(rate)


def test_hard_labels_query_the_oracle_only_about_the_students_rows(task):
    algorithm, batch = dagger(task, labels="action", beta="constant", rate=0.7), batch_of(task)
    mixed, on_policy = algorithm.roll_in(batch, START)
    assert 0 < on_policy.sum() < len(batch)
    before, rows = algorithm.oracle.queries, mixed.rows(on_policy)
    target = relabel(algorithm.oracle, mixed, on_policy)
    assert algorithm.oracle.queries - before == rows.tokens
    assert torch.equal(target[~on_policy], mixed.target[~on_policy])
    assert torch.equal(
        target[on_policy][rows.mask], expert(task).action(rows.source, rows.prefix, rows.mask)
    )


def test_full_labels_cost_nothing_where_student_and_oracle_agree(task):
    """The metric is KL; a student that *is* the oracle has none."""
    policy = small_policy(task)
    oracle = PolicyOracle(policy, None, task.vocabulary, task.vocabulary)
    assert (
        abs(first_loss(make("imitkd_full", task, policy, oracle), batch_of(task)).metrics["kl"])
        < 1e-5
    )


def test_no_gradient_flows_through_the_students_roll_in(task):
    """The loss of a mixed batch is that of the same batch given as data."""
    student, data = dagger(task, beta="constant", rate=0.0), dagger(task, beta="constant", rate=1.0)
    mixed, _ = student.roll_in(batch_of(task), START)
    losses = first_loss(student, batch_of(task)), first_loss(data, mixed)
    sides = (
        (loss.sum, *torch.autograd.grad(loss.sum, [*owner.policy.parameters()]))
        for loss, owner in zip(losses, (student, data), strict=True)
    )
    torch.testing.assert_close(*sides)


def test_relabeling_everywhere_queries_about_every_row(task):
    batch = batch_of(task)
    for relabel_rows, queries in (("all", batch.tokens), ("student", 0)):
        algorithm = dagger(task, labels="action", relabel=relabel_rows, beta="constant", rate=1.0)
        assert spent(algorithm, batch)[2] == queries


def test_labels_cut_to_one_token_are_the_oracles_action(task):
    cut, hard = dagger(task, label_top_k=1), dagger(task, labels="action", relabel="all")
    torch.testing.assert_close(
        *(first_loss(algorithm, batch_of(task)).sum for algorithm in (cut, hard))
    )


@pytest.mark.parametrize("name", ["imitkd", "imitkd_full"])
def test_the_roll_ins_of_a_group_are_the_students_before_its_first_update(task, name):
    """Each batch has the coins and samples that it would have alone, whatever the updates in between do."""
    batches = [batch_of(task, step, 200) for step in range(4)]
    algorithm = make(name, task, small_policy(task), beta="linear", group=4)
    assert algorithm.batches_per_round == 4
    expected = [
        first_loss(algorithm, batch, at(0.1).later(number)) for number, batch in enumerate(batches)
    ]
    with Profiler({}, "rest") as profiler:
        updates = algorithm.updates(batches, at(0.1))
        losses, decoded = [next(updates)], profiler.counts["decoded"]
        losses += updates
        assert profiler.counts["decoded"] == decoded > 0
    torch.testing.assert_close([loss.sum for loss in losses], [loss.sum for loss in expected])
