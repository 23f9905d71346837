"""The teacher's outputs as training data: what the beam says, once, resumable, and the best of it."""

from functools import partial

import pytest
import torch

from agents import demonstrations as module
from agents.decoding import beam
from agents.demonstrations import BEAM, demonstrations, generate
from agents.evaluation import writer
from agents.policies.transformer import Transformer
from command_line import read
from distil import build_student, load_world
from textgen_env.errors import UserError
from textgen_env.metrics import sentence_score
from textgen_env.oracle import PolicyOracle, expert


@pytest.fixture(scope="module")
def policy(world):
    generator = torch.Generator().manual_seed(0)
    return Transformer(len(world.vocabulary), layers=1, width=16, heads=2, ffn=16, generator=generator).eval()


def oracle_of(policy, world):
    return PolicyOracle(policy, partial(beam, width=BEAM), world.vocabulary, world.vocabulary)


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "TOKENS", 64)
    monkeypatch.setattr(module, "SHARD", 3)
    return tmp_path


def test_targets_are_what_the_beam_writes_for_each_source(policy, world, fresh):
    before = world.splits["train"]
    split = demonstrations("teacher", world, oracle_of(policy, world), "float32", "cpu")
    assert split.texts is before.texts
    for row in range(0, len(split), 7):
        found = beam(policy, torch.from_numpy(before.source[row])[None], world.horizon, width=BEAM)
        assert split.target[row].tolist() == found.action[0].tolist()
    again = demonstrations("teacher", world, oracle_of(policy, world), "float32", "cpu")
    assert all((left == right).all() for left, right in zip(split.target, again.target, strict=True))


def test_an_interrupted_generation_goes_on_where_it_stopped(policy, world, fresh):
    write, calls = writer(policy, BEAM, "float32", "cpu"), []

    def dies(source, steps):
        calls.append(len(source))
        if len(calls) == 8:
            raise KeyboardInterrupt
        return write(source, steps)

    with pytest.raises(KeyboardInterrupt):
        generate(dies, world, fresh / "x")
    generate(dies, world, fresh / "x")
    assert sum(calls) - calls[6] - calls[7] == len(world.splits["train"])  # two shards of three stood; the third began again
    generate(None, world, fresh / "x")  # whole: nobody is asked


def test_the_best_of_the_beam_is_the_best_and_the_beam_is_the_teachers(policy, world, fresh):
    oracle = oracle_of(policy, world)
    first, best = (demonstrations(kind, world, oracle, "float32", "cpu") for kind in ("teacher", "best_of_beam"))
    texts = world.splits["train"].texts.references

    def value(split, row):
        return sentence_score("accuracy", world.vocabulary.decode(split.target[row].tolist()), texts[row])["accuracy"]

    assert all(value(best, row) >= value(first, row) for row in range(len(best)))
    for row in range(0, len(best), 17):
        several = beam(policy, torch.from_numpy(best.source[row])[None], world.horizon, width=BEAM, keep=BEAM)
        assert best.target[row].tolist() in [a[:n].tolist() for a, n in zip(several.action, several.length, strict=True)]


def test_an_exact_expert_demonstrates_the_optimum(world, fresh):
    for kind in ("references", "teacher", "best_of_beam"):
        split = demonstrations(kind, world, expert(world), "float32", "cpu")
        assert all((source == target).all() for source, target in zip(split.source, split.target, strict=True))
    with pytest.raises(UserError, match="unknown demonstrations 'teachers'; did you mean 'teacher'"):
        demonstrations("teachers", world, expert(world), "float32", "cpu")


def test_seqinter_fine_tunes_and_says_so():
    config = read("dagger", ["env=Copy-v0", "algorithm=seqinter"])
    with pytest.raises(UserError, match="algorithm=seqinter improves a student that can already write: give init=RUN"):
        build_student(config, load_world(config))
