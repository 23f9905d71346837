"""The teacher's outputs as training data: beam search, cache, resume, and the best of a beam."""

from copy import deepcopy
from functools import partial

import pytest
import torch

from agents.generation.beam import beam_search
from agents.generation.decoder import Decoder
from agents.generation.demonstrations import BEAM
from agents.policies.transformer import TransformerPolicy
from agents.runs import demonstrations as module
from agents.runs.demonstrations import fill_cache, training_demonstrations
from textgen_env.data.batching import Batches
from textgen_env.errors import UserError
from textgen_env.metrics.scores import sentence_score
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.tasks.task import expert
from textgen_env.types import EOS, PAD, Trajectories


@pytest.fixture(scope="module")
def policy(task):
    """Random weights, scaled so that the outputs depend on the source."""
    torch.manual_seed(0)
    policy = TransformerPolicy(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16).eval()
    with torch.no_grad():
        policy.decoder_norm.weight.mul_(3)
        for layer in policy.decoder:
            layer.cross_attention.output.weight.mul_(5)
    return policy


@pytest.fixture(scope="module")
def endless(policy):
    """A policy that never generates EOS."""
    policy = deepcopy(policy)
    with torch.no_grad():
        policy.decoder_norm.weight.zero_()
        policy.decoder_norm.bias.copy_(-100 * policy.target_embedding.weight[EOS])
    return policy


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache whose shards hold three small batches."""
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "MAX_BATCH_TOKENS", 64)
    monkeypatch.setattr(module, "SHARD_BATCHES", 3)
    return tmp_path


@pytest.fixture
def demonstrate(task, cache):
    """``training_demonstrations`` on the CPU; a policy is wrapped in its oracle."""

    def demonstrate(kind, teacher, **options):
        if isinstance(teacher, TransformerPolicy):
            search = partial(beam_search, width=BEAM)
            teacher = PolicyOracle(teacher, search, task.vocabulary, task.vocabulary)
        return training_demonstrations(kind, task, teacher, "float32", "cpu", **options)

    return demonstrate


def finished_output(trajectories):
    """The first hypothesis, or nothing if it does not end with EOS."""
    tokens = trajectories.action[0].tolist()
    return tokens if tokens[-1] == EOS else []


class TruncatedExpert:
    """The exact expert, without EOS on sources of more than three symbols."""

    def __init__(self, task):
        self.expert = expert(task)

    def demonstrate(self, source, limit):
        output = self.expert.demonstrate(source, limit)
        length = output.length - (output.length > 4).long()
        padding = torch.arange(output.action.shape[1]) >= length[:, None]
        return Trajectories(output.action.masked_fill(padding, PAD), length, output.score)


def test_targets_are_the_outputs_of_beam_search(policy, task, demonstrate):
    references = task.splits["train"]
    split = demonstrate("teacher", policy).split
    assert split.texts is references.texts
    for row in range(0, len(split), 7):
        source = torch.from_numpy(references.source[row])[None]
        output = beam_search(policy, source, task.horizon, width=BEAM)
        assert split.target[row].tolist() == finished_output(output)


def test_cached_demonstrations_equal_generated_ones_and_report_their_cost(policy, demonstrate):
    first, second = (demonstrate("teacher", policy) for _ in range(2))
    for generated, cached in zip(first.split.target, second.split.target, strict=True):
        assert generated.tolist() == cached.tolist()
    assert second.seconds == first.seconds > 0
    assert second.tokens == first.tokens == sum(map(len, first.split.target))


@pytest.mark.parametrize("kind", ["teacher", "best_of_beam"])
def test_outputs_without_eos_are_left_out_and_counted(kind, task, demonstrate, capsys):
    split = demonstrate(kind, TruncatedExpert(task)).split
    ended = {row for row, target in enumerate(split.target) if len(target)}
    left_out = len(split) - len(ended)
    assert 0 < left_out < len(split)
    assert all(split.target[row][-1] == EOS for row in ended)
    message = f"{left_out} of {len(split)} do not end with EOS and are left out"
    assert message in " ".join("".join(capsys.readouterr()).split())
    batches = Batches(split, 64, 0, task.limit)
    drawn = [batches.at(step) for step in range(batches.per_epoch)]
    assert sorted(torch.cat([batch.index for batch in drawn]).tolist()) == sorted(ended)
    for batch in drawn:  # rewards look up the references of a row by its index
        for row, source in zip(batch.index.tolist(), batch.source.tolist(), strict=True):
            tokens = [token for token in source if token != PAD]
            assert tokens == task.splits["train"].source[row].tolist()


def test_teacher_that_never_generates_eos_is_rejected(endless, demonstrate):
    message = "^none of the teacher's 200 demonstrations ends with EOS within its limit: train"
    with pytest.raises(UserError, match=message):
        demonstrate("teacher", endless)


def test_length_penalty_is_part_of_the_cache_key(policy, task, demonstrate, cache):
    demonstrate("teacher", policy, length_penalty=1.0)
    split = demonstrate("teacher", policy, length_penalty=0.0).split
    assert len(list((cache / "demonstrations").iterdir())) == 2
    for row in range(0, len(split), 7):
        source = torch.from_numpy(split.source[row])[None]
        output = beam_search(policy, source, task.horizon, BEAM, 0.0)
        assert split.target[row].tolist() == finished_output(output)


def test_decoder_version_is_part_of_the_cache_key(policy, demonstrate, cache, monkeypatch):
    demonstrate("teacher", policy)
    monkeypatch.setattr(module, "DECODER_VERSION", module.DECODER_VERSION + 1)
    demonstrate("teacher", policy)
    assert len(list((cache / "demonstrations").iterdir())) == 2


def test_interrupted_generation_resumes_with_the_first_missing_shard(policy, task, cache):
    decode, rows = Decoder(policy, BEAM, "float32", "cpu"), []

    def interrupted(source, limit):
        rows.append(len(source))
        if len(rows) == 8:  # the second batch of the third shard
            raise KeyboardInterrupt
        return decode(source, limit)

    with pytest.raises(KeyboardInterrupt):
        fill_cache(interrupted, task, cache / "x")
    fill_cache(interrupted, task, cache / "x")
    assert sum(rows) - sum(rows[6:8]) == len(task.splits["train"])
    decode_nothing = None
    fill_cache(decode_nothing, task, cache / "x")


def test_best_of_beam_is_the_hypothesis_with_the_best_score(policy, task, demonstrate):
    teacher, best = (demonstrate(kind, policy).split for kind in ("teacher", "best_of_beam"))
    references = task.splits["train"].texts.references

    def score(split, row):
        text = task.vocabulary.decode(split.target[row].tolist())
        return sentence_score("accuracy", text, references[row])["accuracy"]

    assert all(score(best, row) >= score(teacher, row) for row in range(len(best)))
    for row in range(0, len(best), 17):
        if len(best.target[row]):
            source = torch.from_numpy(best.source[row])[None]
            hypotheses = beam_search(policy, source, task.horizon, width=BEAM, keep=BEAM)
            tokens = [
                action[:length].tolist()
                for action, length in zip(hypotheses.action, hypotheses.length, strict=True)
            ]
            assert best.target[row].tolist() in tokens


@pytest.mark.parametrize("kind", ["references", "teacher", "best_of_beam"])
def test_exact_expert_demonstrates_the_optimum(kind, task, demonstrate):
    split = demonstrate(kind, expert(task)).split
    for source, target in zip(split.source, split.target, strict=True):
        assert source.tolist() == target.tolist()


def test_unknown_kind_is_rejected(task, demonstrate):
    message = "unknown demonstrations 'teachers'; did you mean 'teacher'"
    with pytest.raises(UserError, match=message):
        demonstrate("teachers", expert(task))
