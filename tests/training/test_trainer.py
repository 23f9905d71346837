"""The trainer: resume to the bit, stop on NaN, keep the best."""

import itertools
import json
import signal

import pytest
import torch

from agents.algorithms import Algorithm, LossOutput
from agents.algorithms.bc import BC
from agents.policies.transformer import Transformer
from agents.training import trainer
from agents.training.checkpoint import load_tensors, save_tensors
from agents.training.trainer import Interrupted, train
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.tasks.copy import load

STEPS = 12


class Stop(Exception):
    pass


class At(Algorithm):
    """An algorithm to which ``happen`` happens after some steps; what that returns spoils the loss."""

    def __init__(self, algorithm, step, happen):
        self.algorithm, self.left, self.happen = algorithm, step, happen

    def loss(self, batch, progress):
        self.left -= 1
        output = self.algorithm.loss(batch, progress)
        return LossOutput(output.loss * self.happen(), output.tokens) if self.left == 0 else output


def die():
    raise Stop


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)
    return 1.0


def fit(folder, at=None, happen=die, resume=False, seed=0, scores=None, make=BC, lr=0.01, **more):
    task = load(train=200, valid=20, test=20)
    generator = torch.Generator().manual_seed(seed)
    policy = Transformer(len(task.vocabulary), width=16, heads=2, ffn=32, dropout=0.2)
    algorithm = make(policy)
    if at is not None:
        algorithm = At(algorithm, at, happen)
    values = iter(scores or ())

    def validate():
        score = next(values) if scores else sum(weight.abs().sum().item() for weight in policy.parameters())
        return {"valid_score": float(score), "valid_loss": 0.0}

    progress = train(
        algorithm,
        policy,
        Batches(task.splits["train"], 128, seed, task),
        validate,
        folder=folder,
        phase="student",
        header={"vocabulary": "v"},
        generators={"dropout": generator},
        steps=STEPS,
        lr=lr,
        schedule="linear",
        warmup=2,
        clip=1.0,
        validations=3,
        amp="float32",
        device="cpu",
        resume=resume,
        **more,
    )
    return policy, progress


def fresh():
    """The policy of ``fit``, before any update."""
    torch.manual_seed(0)
    size = len(load(train=200, valid=20, test=20).vocabulary)
    return Transformer(size, width=16, heads=2, ffn=32, dropout=0.2)


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
        assert same(policy, fresh())


def test_a_training_that_was_stopped_before_it_saved_validates_its_start_once(tmp_path):
    with pytest.raises(Stop):
        fit(tmp_path, at=2, validate_first=True)
    fit(tmp_path, resume=True, validate_first=True)
    assert [row["step"] for row in rows_of(tmp_path)] == list(range(STEPS + 1))


def test_throughput_is_that_of_the_updates_and_validation_is_booked_apart(tmp_path):
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
    trainer._update((weight * 2).sum(), [weight], optimiser, 0.1, 5.0)
    before = weight.detach().clone(), *(each.clone() for each in optimiser.state[weight].values())
    norm = trainer._update((weight * bad).sum(), [weight], optimiser, 0.1, 5.0)
    assert not norm.isfinite()
    assert all(map(torch.equal, before, (weight.detach(), *optimiser.state[weight].values())))
    version = weight._version
    trainer._update((weight * 2).sum(), [weight], optimiser, 0.1, 5.0)
    assert weight._version > version
    assert weight.detach().isfinite().all()
    assert not torch.equal(weight.detach(), before[0])


def test_neither_gradients_nor_graph_of_a_step_outlive_it(tmp_path, monkeypatch):
    """They would lie in the memory that the next step needs, and the heap would grow around them."""
    loss, outputs = BC.loss, []

    def watched(self, batch, progress):
        assert all(weight.grad is None for weight in self.policy.parameters())
        assert all(output.loss.grad_fn is None for output in outputs)
        outputs.append(loss(self, batch, progress))
        return outputs[-1]

    monkeypatch.setattr(BC, "loss", watched)
    fit(tmp_path)
    assert len(outputs) == STEPS


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
