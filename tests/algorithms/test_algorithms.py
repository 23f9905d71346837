"""Every algorithm that can be named solves Copy-v0; the roll-in is the mixture it claims to be."""

import itertools

import pytest
import torch

import agents.algorithms
from agents.algorithms.dagger import DAgger
from agents.discovery import variants
from agents.evaluation.outputs import write_split, writer
from agents.policies.transformer import Transformer
from agents.training.checkpoint import load_tensors
from command_line import passing, read
from distil import build_student, load_task, machine, train_student
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.metrics.scores import score
from textgen_env.oracles.oracle import expert

SHORT = ["env=Copy-v0", "env.symbols=5", "env.max_length=5", "env.horizon=8"]
FROM_SCRATCH = [*SHORT, "train.steps=300"]
FEW = [*SHORT, "reward=accuracy", "train.lr=1e-3", "train.warmup=10"]
STEPS = {"aggrevated": 500}  # one action a row, judged by rollouts: it takes longer than the others' 350


def needs_start(name):
    """Whether it refuses a student that was not trained before."""
    algorithm = variants(agents.algorithms)[name]
    return algorithm.func.needs_start and not algorithm.keywords.get("cold_start")


def made(words):
    """What the command line says: configuration, task, fresh or given student."""
    config = read("dagger", words)
    task = load_task(config)
    return config, task, build_student(config, task)


def fit(folder, words):
    """The test accuracy of a student trained as the command line says."""
    config, task, student = made(words)
    on = machine(config)
    train_student(config, task, student, expert(task), folder, on)
    texts = write_split(writer(student, 1, on.precision, on.device), task, task.splits["test"])
    (accuracy,) = score(task.metric, texts, task.splits["test"].texts.references).values()
    return accuracy.value


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """The run folder of a student that copies most short strings."""
    folder = tmp_path_factory.mktemp("start")
    assert 60 <= fit(folder, [*SHORT, "algorithm=bc", "train.steps=140"]) <= 90
    return folder


@pytest.mark.parametrize("name", variants(agents.algorithms))
def test_it_solves_copy(name, tmp_path, start):
    warm = needs_start(name) or name == "aggrevated_exact"  # which from fresh weights can come to rest on a plateau
    few = passing("dagger", FEW, name, "transformer")  # some learn from no rewards
    words = [*few, f"init={start}", f"train.steps={STEPS.get(name, 350)}"] if warm else FROM_SCRATCH
    assert fit(tmp_path, [*words, f"algorithm={name}"]) >= 99


@pytest.mark.parametrize("name", [name for name in variants(agents.algorithms) if needs_start(name)])
def test_one_that_only_improves_a_student_wants_one(name):
    with pytest.raises(UserError, match=f"algorithm={name} improves a student that can already write: give init=RUN"):
        made(["env=Copy-v0", f"algorithm={name}"])
    made(["env=Copy-v0", f"algorithm={name}", "algorithm.cold_start=true"])


def learner(task, **settings):
    generator = torch.Generator().manual_seed(0)
    policy = Transformer(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16)
    return DAgger(policy, expert(task), generator, **settings), policy


def batch_of(task):
    return Batches(task.splits["train"], 400, 0, task).at(0)


def test_beta_one_is_the_data_and_beta_zero_the_student(task):
    batch = batch_of(task)
    for rate, share in ((1.0, 0.0), (0.0, 1.0)):
        algorithm, _ = learner(task, beta="constant", rate=rate)
        output = algorithm.loss(batch, 0.5)
        assert output.figures["on_policy"] == share
        assert (output.decoded > 0) == (share == 1)


def test_the_coin_is_per_sequence(task):
    batch = batch_of(task)
    algorithm, _ = learner(task, beta="constant", rate=0.5)
    mixed, on_policy = batch, torch.arange(len(batch)) % 2 == 0
    ((mixed, _, decoded, _),) = algorithm.roll_in.rewrite([batch], [on_policy])
    assert torch.equal(mixed.target[~on_policy][:, : batch.target.shape[1]], batch.target[~on_policy])
    assert torch.equal(mixed.length[~on_policy], batch.length[~on_policy])
    assert decoded == mixed.length[on_policy].sum()
    shares = [algorithm.loss(batch, 0.0).figures["on_policy"] for _ in range(30)]
    assert 0 < min(shares) < max(shares) < 1
    assert abs(sum(shares) / 30 - 0.5) < 4 * (0.25 / (30 * len(batch))) ** 0.5


def test_hard_labels_ask_the_oracle_only_about_the_students_rows(task):
    batch = batch_of(task)
    algorithm, _ = learner(task, labels="action", top_k=1)
    on_policy = torch.arange(len(batch)) % 3 == 0
    ((mixed, *_),) = algorithm.roll_in.rewrite([batch], [on_policy])
    before = algorithm.oracle.queries
    target, scored = algorithm.relabel(mixed, on_policy)
    assert algorithm.oracle.queries - before == scored == mixed.rows(on_policy).tokens
    assert torch.equal(target[~on_policy], mixed.target[~on_policy])
    rows = mixed.rows(on_policy)
    assert torch.equal(target[on_policy][rows.mask], expert(task).action(rows.source, rows.prefix, rows.mask))


def test_full_labels_cost_nothing_where_student_and_oracle_agree(task):
    """KL is the reported figure; a student that *is* the oracle has none."""
    batch = batch_of(task)
    algorithm, policy = learner(task)

    class Itself:
        queries = 0
        vocabulary_size = len(task.vocabulary)

        def log_probs(self, source, prefix, mask=None):
            return policy(source, prefix, mask).detach().log_softmax(-1)

    algorithm.oracle = Itself()
    policy.eval()
    assert abs(algorithm.loss(batch, 1.0).figures["kl"]) < 1e-5


def test_no_gradient_flows_through_the_students_writing(task):
    algorithm, policy = learner(task, beta="constant", rate=0.0)
    output = algorithm.loss(batch_of(task), 0.0)
    output.loss.backward()
    assert policy.training
    assert all(parameter.grad is not None for parameter in policy.parameters())


def test_relabelling_everywhere_asks_about_every_row(task):
    batch = batch_of(task)
    algorithm, _ = learner(task, labels="action", relabel="all", beta="constant", rate=1.0)
    assert algorithm.loss(batch, 0.0).scored == batch.tokens
    algorithm, _ = learner(task, labels="action", beta="constant", rate=1.0)
    assert algorithm.loss(batch, 0.0).scored == 0


def test_labels_cut_to_one_token_are_the_oracles_action(task):
    batch = batch_of(task)
    cut, _ = learner(task, label_top_k=1)
    hard, _ = learner(task, labels="action", relabel="all")
    left, right = (algorithm.loss(batch, 0.0).loss for algorithm in (cut, hard))
    torch.testing.assert_close(left, right)


def test_roll_ins_written_at_once_are_those_written_one_by_one(task):
    """Greedy writing draws no noise, so the coins are the same too."""
    batches = [Batches(task.splits["train"], 200, 0, task).at(step) for step in range(4)]
    progress = [0.1, 0.2, 0.3, 0.4]
    alone, _ = learner(task, beta="linear", rate=0.0)
    ahead, _ = learner(task, beta="linear", rate=0.0, group=4)
    ahead.look_ahead(batches, progress)
    for batch, share in zip(batches, progress, strict=True):
        one, other = alone.mix(batch, alone.beta(share)), ahead.ahead[0]
        assert torch.equal(one.on_policy, other.on_policy)
        assert torch.equal(one.batch.target, other.batch.target)
        assert ahead.loss(batch, share).decoded == one.decoded > 0


class Killed(Exception):
    pass


def test_a_training_killed_amid_a_group_ends_in_the_same_bits(tmp_path, monkeypatch):
    words = [*SHORT, "algorithm=imitkd", "algorithm.group=4", "algorithm.rate=0.5", "train.batch_tokens=100"]
    words += ["train.steps=10", "train.validations=5", "train.validation_rows=20"]  # checkpoints after 2, 4, 6 …
    calls, loss = itertools.count(), DAgger.loss

    def stopped(self, batch, progress):
        if next(calls) == 7:
            raise Killed
        return loss(self, batch, progress)

    def last(name):
        return load_tensors(tmp_path / name / "checkpoints" / "last.safetensors")[0]

    fit(tmp_path / "straight", words)
    monkeypatch.setattr(DAgger, "loss", stopped)
    with pytest.raises(Killed):
        fit(tmp_path / "killed", words)
    assert {"algorithm.0.on_policy", "algorithm.1.target"} < last("killed").keys()  # two roll-ins were still to be used
    fit(tmp_path / "killed", [*words, "resume=true", f"out={tmp_path}"])
    left, right = last("straight"), last("killed")
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
