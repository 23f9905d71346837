"""The teacher's outputs as training data: what the beam says, once, resumable, and the best of it."""

from copy import deepcopy
from functools import partial

import pytest
import torch

from agents.generation.beam import beam
from agents.generation.decoder import Decoder
from agents.generation.demonstrations import BEAM
from agents.policies.transformer import Transformer
from agents.runs import demonstrations as module
from agents.runs.demonstrations import fill_cache, training_demonstrations
from agents.runs.student import check_start
from cli import read
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.metrics.scores import sentence_score
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks.task import expert
from textgen_env.types import EOS, PAD, Trajectories


@pytest.fixture(scope="module")
def policy(task):
    """Random, but with the weights to tell its sources apart."""
    torch.manual_seed(0)
    policy = Transformer(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16).eval()
    with torch.no_grad():
        policy.decoder_norm.weight.mul_(3)
        for layer in policy.decoder:
            layer.cross_attention.output.weight.mul_(5)
    return policy


@pytest.fixture(scope="module")
def endless(policy):
    """It never ends."""
    policy = deepcopy(policy)
    with torch.no_grad():
        policy.decoder_norm.weight.zero_()
        policy.decoder_norm.bias.copy_(-100 * policy.target_embedding.weight[EOS])
    return policy


def oracle_of(policy, task):
    return PolicyOracle(policy, partial(beam, width=BEAM), task.vocabulary, task.vocabulary)


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "TOKENS", 64)
    monkeypatch.setattr(module, "SHARD", 3)
    return tmp_path


def test_targets_are_what_the_beam_writes_for_each_source(policy, task, fresh):
    before = task.splits["train"]
    split = training_demonstrations(
        "teacher", task, oracle_of(policy, task), "float32", "cpu"
    ).split
    assert split.texts is before.texts
    for row in range(0, len(split), 7):
        found = beam(policy, torch.from_numpy(before.source[row])[None], task.horizon, width=BEAM)
        assert split.target[row].tolist() == (
            found.action[0].tolist() if found.action[0, -1] == EOS else []
        )
    again = training_demonstrations(
        "teacher", task, oracle_of(policy, task), "float32", "cpu"
    ).split
    assert all(
        (left == right).all() for left, right in zip(split.target, again.target, strict=True)
    )


class Breathless:
    """An expert that never gets to the end of a source of more than three symbols."""

    def __init__(self, task):
        self.expert = expert(task)

    def demonstrate(self, source, steps):
        found = self.expert.demonstrate(source, steps)
        length = found.length - (found.length > 4).long()  # without EOS
        action = found.action.masked_fill(
            torch.arange(found.action.shape[1]) >= length[:, None], PAD
        )
        return Trajectories(action, length, found.score)


@pytest.mark.parametrize("kind", ["teacher", "best_of_beam"])
def test_what_the_teacher_did_not_end_is_left_out_and_counted(kind, task, fresh, capsys):
    split = training_demonstrations(kind, task, Breathless(task), "float32", "cpu").split
    endless = [row for row, target in enumerate(split.target) if not len(target)]
    assert 0 < len(endless) < len(split), "some must end and some must not"
    assert all(target[-1] == EOS for target in split.target if len(target))
    message = f"teacher's demonstrations: {len(endless)} of {len(split)} do not end by EOS and are left out"
    assert message in " ".join("".join(capsys.readouterr()).split())
    batches = Batches(split, 64, 0, task.limit)
    drawn = [batches.at(step) for step in range(batches.per_epoch)]
    assert sorted(torch.cat([batch.index for batch in drawn]).tolist()) == sorted(
        set(range(len(split))) - set(endless)
    )
    for batch in drawn:  # of the rewards: an index still means the same pair
        for row, source in zip(batch.index.tolist(), batch.source.tolist(), strict=True):
            assert [token for token in source if token] == task.splits["train"].source[row].tolist()


def test_a_teacher_that_ends_nothing_is_refused(endless, task, fresh):
    message = "the teacher ended none of its 200 demonstrations by EOS within the limit of its source: train it longer"
    with pytest.raises(UserError, match=f"^{message}"):
        training_demonstrations("teacher", task, oracle_of(endless, task), "float32", "cpu")


@pytest.mark.parametrize("change", ["length_penalty", "decoder"])
def test_another_search_has_other_files(change, policy, task, fresh, monkeypatch):
    oracle = oracle_of(policy, task)
    training_demonstrations("teacher", task, oracle, "float32", "cpu", length_penalty=1.0)
    if change == "decoder":
        monkeypatch.setattr(module, "DECODER", module.DECODER + 1)
    power = 0.0 if change == "length_penalty" else 1.0
    split = training_demonstrations(
        "teacher", task, oracle, "float32", "cpu", length_penalty=power
    ).split
    assert len(list((fresh / "demonstrations").iterdir())) == 2
    for row in range(0, len(split), 7):
        source = torch.from_numpy(split.source[row])[None]
        found = beam(policy, source, task.horizon, BEAM, power).action[0].tolist()
        assert split.target[row].tolist() == (found if found[-1] == EOS else [])


def test_a_run_that_finds_demonstrations_in_the_cache_is_told_what_they_took(policy, task, fresh):
    first, second = (
        training_demonstrations("teacher", task, oracle_of(policy, task), "float32", "cpu")
        for _ in range(2)
    )
    assert second.seconds == first.seconds > 0
    assert second.tokens == first.tokens == sum(map(len, first.split.target))


def test_an_interrupted_generation_goes_on_where_it_stopped(policy, task, fresh):
    write, calls = Decoder(policy, BEAM, "float32", "cpu"), []

    def dies(source, steps):
        calls.append(len(source))
        if len(calls) == 8:
            raise KeyboardInterrupt
        return write(source, steps)

    with pytest.raises(KeyboardInterrupt):
        fill_cache(dies, task, fresh / "x")
    fill_cache(dies, task, fresh / "x")
    assert sum(calls) - calls[6] - calls[7] == len(
        task.splits["train"]
    )  # two shards of three stood; the third began again
    fill_cache(None, task, fresh / "x")  # whole: nobody is asked


def test_the_best_of_the_beam_is_the_best_and_the_beam_is_the_teachers(policy, task, fresh):
    oracle = oracle_of(policy, task)
    first, best = (
        training_demonstrations(kind, task, oracle, "float32", "cpu").split
        for kind in ("teacher", "best_of_beam")
    )
    texts = task.splits["train"].texts.references

    def value(split, row):
        return sentence_score(
            "accuracy", task.vocabulary.decode(split.target[row].tolist()), texts[row]
        )["accuracy"]

    assert all(value(best, row) >= value(first, row) for row in range(len(best)))
    for row in range(0, len(best), 17):
        if not len(best.target[row]):
            continue
        several = beam(
            policy, torch.from_numpy(best.source[row])[None], task.horizon, width=BEAM, keep=BEAM
        )
        assert best.target[row].tolist() in [
            a[:n].tolist() for a, n in zip(several.action, several.length, strict=True)
        ]


def test_an_exact_expert_demonstrates_the_optimum(task, fresh):
    for kind in ("references", "teacher", "best_of_beam"):
        split = training_demonstrations(kind, task, expert(task), "float32", "cpu").split
        assert all(
            (source == target).all()
            for source, target in zip(split.source, split.target, strict=True)
        )
    with pytest.raises(
        UserError, match="unknown demonstrations 'teachers'; did you mean 'teacher'"
    ):
        training_demonstrations("teachers", task, expert(task), "float32", "cpu")


def test_seqinter_fine_tunes_and_says_so():
    config = read("dagger", ["env=Copy-v0", "algorithm=seqinter"])
    with pytest.raises(
        UserError,
        match="algorithm=seqinter improves a student that can already generate: give init=RUN",
    ):
        check_start(config)
