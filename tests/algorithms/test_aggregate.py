"""The aggregated data set: a uniform sample of all that came, within its cap, the same after a resume."""

from __future__ import annotations

import pytest
import torch

from agents.algorithms.dagger_aggregate import DAggerAggregate, Reservoir
from agents.policies.transformer import Transformer
from agents.training.checkpoint import load_tensors
from agents.training.trainer import train
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.oracles.oracle import expert
from textgen_env.types import EOS, PAD, Batch


def numbered(first, count, width):
    """Episodes ``first`` … whose source says their number, and labels that are the actions plus one."""
    number = torch.arange(first, first + count)
    length = 1 + number % width
    target = torch.where(torch.arange(width) < length[:, None], 3 + number[:, None], PAD)
    source = torch.stack([number + 3, torch.full_like(number, EOS)], 1)
    return Batch(number, source, target, length, limit=length), torch.where(target == PAD, PAD, target + 1)


def size(data):
    return sum(part.nbytes for part in data.parts)


def test_every_episode_is_as_likely_to_be_kept_whenever_it_came_and_whatever_its_width():
    rounds, added = 300, 36
    counts = torch.zeros(added)
    for seed in range(rounds):
        data = Reservoir(capacity=10 * 4 * (2 + 4 + 4 + 1), generator=torch.Generator().manual_seed(seed))
        for first in range(0, added, 6):
            data.add(*numbered(first, 6, width=2 if first < 18 else 4))  # wider halfway: fewer rows
        assert data.kept == 10
        counts[data.parts[0][: data.kept, 0].long() - 3] += 1
    chance = 10 / added
    assert ((counts / rounds - chance).abs() < 4 * (chance * (1 - chance) / rounds) ** 0.5).all()


def test_it_keeps_everything_until_it_is_full_and_never_exceeds_its_cap():
    capacity = 2_000
    data = Reservoir(capacity, torch.Generator().manual_seed(0))
    for step in range(60):
        data.add(*numbered(7 * step, 7, width=2 + step // 10))
        assert size(data) <= capacity
        full = data.kept < data.seen
        assert full or data.kept == 7 * (step + 1)
    assert full
    assert size(data) > 0.9 * capacity


def test_what_is_drawn_is_what_was_added():
    data = Reservoir(10_000, torch.Generator().manual_seed(0))
    for first, width in ((0, 3), (6, 11), (12, 2)):
        data.add(*numbered(first, 6, width))
    drawn, label = data.draw(tokens=400)
    assert len(set(drawn.source[:, 0].tolist())) == 18
    number = drawn.source[:, 0] - 3
    width = torch.tensor([3, 11, 2])[number // 6]
    assert torch.equal(drawn.length, 1 + number % width)
    assert (drawn.source[:, 1] == EOS).all()
    assert torch.equal(drawn.target[drawn.mask], (number[:, None] + 3).expand_as(drawn.target)[drawn.mask])
    assert torch.equal(label[drawn.mask], drawn.target[drawn.mask] + 1)
    assert (drawn.target[~drawn.mask] == PAD).all()
    assert abs(drawn.tokens / 400 - 1) < 0.2


def test_a_cap_below_one_episode_is_one_clear_line():
    data = Reservoir(20, torch.Generator())
    with pytest.raises(UserError, match=r"memory_mb=.* does not hold one episode of this task; raise it"):
        data.add(*numbered(0, 3, width=8))


def learner(task, **settings):
    generator = torch.Generator().manual_seed(0)
    policy = Transformer(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16)
    return DAggerAggregate(policy, expert(task), generator, **settings)


def test_a_roll_in_every_so_many_updates_is_all_that_is_labelled(task):
    batches = Batches(task.splits["train"], 200, 0, task)
    algorithm = learner(task, every=3, beta="constant", rate=0.0)
    outputs = [algorithm.loss(batches.at(step), 0.0) for step in range(7)]
    assert [output.decoded > 0 for output in outputs] == [True, False, False, True, False, False, True]
    assert all(output.scored == output.decoded for output in outputs)
    assert algorithm.data.seen == sum(len(batches.at(step)) for step in (0, 3, 6))


def test_labels_are_the_oracles_at_the_students_prefixes(task):
    algorithm = learner(task, beta="constant", rate=0.0)
    batches = Batches(task.splits["train"], 200, 0, task)
    algorithm.loss(batches.at(0), 0.0)
    drawn, label = algorithm.data.draw(300)
    assert torch.equal(label[drawn.mask], expert(task).action(drawn.source, drawn.prefix, drawn.mask))
    assert not torch.equal(label[drawn.mask], drawn.target[drawn.mask])  # an untrained student is wrong


class Stop(Exception):
    pass


def fit(task, folder, stop=None, resume=False):
    algorithm = learner(task, every=2, memory_mb=0.01)
    plain, calls = algorithm.loss, iter(range(100))

    def loss(batch, progress):
        if next(calls) == stop:
            raise Stop
        return plain(batch, progress)

    algorithm.loss = loss
    train(
        algorithm,
        algorithm.policy,
        Batches(task.splits["train"], 200, 0, task),
        lambda: {"valid_score": 0.0},
        folder=folder,
        phase="student",
        header={},
        generators={"algorithm": algorithm.policy.generator},
        steps=12,
        lr=0.01,
        schedule="linear",
        warmup=2,
        clip=1.0,
        validations=4,
        amp="float32",
        device="cpu",
        resume=resume,
    )
    return algorithm


def test_a_killed_run_resumes_to_the_bit(task, tmp_path):
    straight = fit(task, tmp_path / "straight")
    assert straight.data.kept < straight.data.seen  # what is resumed has replaced rows and will again
    with pytest.raises(Stop):
        fit(task, tmp_path / "killed", stop=8)
    fit(task, tmp_path / "killed", resume=True)
    (left, _), (right, _) = (
        load_tensors(tmp_path / name / "checkpoints" / "last.safetensors") for name in ("straight", "killed")
    )
    assert left.keys() == right.keys()
    assert {"algorithm.source", "algorithm.label", "algorithm.seen", "algorithm.steps"} < left.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
