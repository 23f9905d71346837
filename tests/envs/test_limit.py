"""Every part of the project generates up to ``Task.limit``, like the environments.

A policy that never generates EOS therefore pays for the same steps everywhere.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from agents.algorithms import Clock
from agents.algorithms.mixer import Mixer
from agents.algorithms.mrt import MRT
from agents.discovery import build
from agents.estimators.cost_to_go import random_step
from agents.evaluation.outputs import generate_texts
from agents.evaluation.sentence import analyze_sentence
from agents.evaluation.speed import decoding_speed
from agents.generation import decoding, interleaved
from agents.generation.beam import beam_search
from agents.generation.decoder import Decoder
from agents.policies.transformer import Transformer
from agents.runs.demonstrations import training_demonstrations
from support.learners import ALGORITHMS, batch_of, first_loss
from support.tiny import tiny_task
from textgen_env.data.batching import Batches, sequential_batches
from textgen_env.data.files import cache_dir
from textgen_env.data.limit import Limit
from textgen_env.envs import rewards
from textgen_env.oracles.cached import CachedOracle
from textgen_env.oracles.noisy import NoisyOracle
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.oracles.references import ReferenceOracle
from textgen_env.tasks.task import expert
from textgen_env.types import EOS, PAD, Trajectories, pad

WITHOUT_ROLLOUTS = set(  # they train on existing targets; every other algorithm generates
    "bc mle seqkd word_kd seqkd_full seqinter gold gold_p gold_s scheduled_sampling".split()  # noqa: SIM905
)


# Settings with which the oracle ends no sample, and every sequence is a sample.
BY_STUDENT = {
    "adaswitch": {"threshold": 1e6},
    "distillm": {"student_fraction": 1.0},
    "minillm": {"teacher_mix": 0.0},
}


def limited(task, ratio=1.0, offset=20, horizon=40):
    return replace(task, limit=Limit(horizon, ratio, offset))


def endless_policy(task):
    """A policy that never generates EOS."""
    policy = Transformer(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16)
    with torch.no_grad():
        policy.decoder_norm.bias.copy_(-99 * policy.target_embedding.weight[EOS])
    return policy


def limits_of(task, source):
    """The limit of each row, ``[B]``."""
    return task.limit((source != PAD).sum(1))


def test_batches_carry_the_limit_and_keep_references_whole():
    task = limited(tiny_task(), 0.5, 1, 9)
    for batch in (
        Batches(task.splits["train"], 50, 0, task.limit).at(0),
        next(sequential_batches(task.splits["train"], 50, task.limit)),
    ):
        assert torch.equal(batch.limit, limits_of(task, batch.source))
        assert batch.length.tolist() == [len(task.splits["train"].target[i]) for i in batch.index]
        assert (batch.length > batch.limit).any()


@pytest.mark.parametrize("kind", ["exact", "references", "noisy", "cached", "policy"])
def test_demonstrations_end_at_the_limit_of_their_row(kind, task):
    task = limited(task, 0.5, 1)
    batch = Batches(task.splits["train"], 400, 0, task.limit).at(0)
    exact, decode = expert(task), partial(beam_search, width=3)
    oracle = {
        "exact": exact,
        "references": ReferenceOracle(task.splits.values(), len(task.vocabulary)),
        "noisy": NoisyOracle(exact, 0.0, torch.Generator()),
        "cached": CachedOracle(exact),
        "policy": PolicyOracle(endless_policy(task), decode, task.vocabulary, task.vocabulary),
    }[kind]
    batched = oracle.demonstrate(batch.source, batch.limit)
    assert (batched.length <= batch.limit).all()
    assert (batched.length == batch.limit).any()
    for row, limit in enumerate(batch.limit.tolist()):
        single = oracle.demonstrate(batch.source[row : row + 1], limit)
        assert torch.equal(single.action[0], batched.action[row, : batched.length[row]])
        assert (batched.action[row, batched.length[row] :] == PAD).all()


def test_evaluation_decodes_each_sentence_up_to_its_limit(task):
    task, calls = limited(task, 0.7, 2), []
    policy = endless_policy(task)
    decode = Decoder(policy, 1, "float32", "cpu")

    def recorded_decode(source, limit):
        calls.append((source, limit))
        return decode(source, limit)

    split = task.splits["test"]
    generate_texts(recorded_decode, task, split)
    decoding_speed({"student": recorded_decode}, task, split, batch_size=7, rounds=1)
    sentence = analyze_sentence(policy, recorded_decode, expert(task), task, "test", 3)
    assert len(calls) > 3
    assert all(torch.equal(limit, limits_of(task, source)) for source, limit in calls)
    assert len(sentence.steps) == task.limit(len(split.source[3]))


def test_demonstrations_are_cached_per_limit(task):
    rows = {}
    for offset in (1, 2):
        short = limited(task, 0.5, offset)
        split = training_demonstrations("teacher", short, expert(short), "float32", "cpu").split
        rows[offset] = [row for row, target in enumerate(split.target) if len(target)]
        for row in rows[offset]:
            assert split.target[row][-1] == EOS
            assert len(split.target[row]) <= short.limit(len(split.source[row]))
    assert 0 < len(rows[1]) < len(rows[2])
    assert len(list((cache_dir() / "demonstrations").glob("Copy-v0-*"))) >= 2


def record_decodes(monkeypatch):
    """A list that gets the limit ``[B]`` and the trajectories of every decode from now on."""
    decodes, decode_loop = [], decoding.decode_loop

    def recorded_loop(step, start, limit, max_new_tokens):
        decodes.append((limit, decode_loop(step, start, limit, max_new_tokens)))
        return decodes[-1][1]

    for module in (decoding, interleaved):
        monkeypatch.setattr(module, "decode_loop", recorded_loop)
    return decodes


@pytest.mark.parametrize("name", ALGORITHMS)
def test_endless_policy_reaches_every_limit_and_pays_for_every_step(name, task, monkeypatch):
    task = limited(task)
    batch, oracle = batch_of(task, tokens=200), expert(task)
    zero_one = rewards.make("zero_one", task, oracle)
    decodes, scored = record_decodes(monkeypatch), []

    def reward(index, episodes):
        rows = index.numpy()
        values = rewards.score_trajectories(zero_one, task, "train", rows, episodes)
        scored.append((rows, episodes, values))
        return values

    options = BY_STUDENT.get(name, {})
    policy = endless_policy(task)
    algorithm = build(ALGORITHMS[name], options, policy=policy, oracle=oracle, reward=reward)
    loss = first_loss(algorithm, batch, Clock(0, 99, 100))
    assert bool(decodes) == (name not in WITHOUT_ROLLOUTS)
    for limit, episodes in decodes:
        truncated = ~(episodes.action == EOS).any(1)
        assert set(limit.tolist()) <= set(limits_of(task, batch.source).tolist())
        assert torch.equal(episodes.length[truncated], limit[truncated])
        assert (episodes.length <= limit).all()
    for rows, episodes, values in scored:  # every step after the source's length is wrong
        truncated = ~(episodes.action == EOS).any(1).numpy()
        source_length = [len(task.splits["train"].source[row]) for row in rows]
        excess = episodes.length.numpy() - source_length + 1
        assert (values.sum(1)[truncated] <= -excess[truncated]).all()
    lengths = [[episodes.length for _, episodes in decodes]]
    if name != "aggrevated":  # its oracle ends the episodes that it scores
        lengths.append([episodes.length for _, episodes, _ in scored])
    for tensors in filter(None, lengths):
        assert torch.cat(tensors).max() == batch.limit.max() > 2 * batch.target.shape[1]
    if name == "minillm":  # it trains on every generated token
        assert loss.tokens == batch.limit.sum()


@pytest.mark.parametrize("reward", ["zero_one", "expert_logprob", "bleu", "rouge", "accuracy"])
def test_repeating_the_last_token_earns_less_than_ending(reward):
    task = limited(tiny_task(), 1.2, 10, 30)
    reward = rewards.make(reward, task, expert(task))
    split = task.splits["train"]
    endless = [
        np.append(target[:-1], [target[-2]] * (task.limit(len(source)) - len(target) + 1))
        for source, target in zip(split.source, split.target, strict=True)
    ]
    returns = []
    for rows in (split.target, endless):
        length = torch.tensor([len(row) for row in rows])
        action = torch.from_numpy(pad(rows, int(length.max())))
        episodes = Trajectories(action, length, torch.zeros(4))
        values = rewards.score_trajectories(reward, task, "train", range(4), episodes)
        returns.append(values.sum(1))
    assert (returns[1] < returns[0]).all()


def test_random_steps_stay_below_the_limit():
    task = limited(tiny_task(), 0.5, 1, 9)
    batch = next(sequential_batches(task.splits["train"], 100, task.limit))
    noise = Clock(0, 0, 1).uniform("step", batch.row, 200)  # [B, 200]
    times = torch.stack([random_step(batch, column)[0] for column in noise.unbind(1)])  # [200, B]
    assert torch.equal(times.amax(0) + 1, torch.minimum(batch.length, batch.limit))


def test_mrt_and_mixer_train_on_whole_references():
    task = limited(tiny_task(), 0.5, 1, 9)
    batch, lengths = next(sequential_batches(task.splits["train"], 100, task.limit)), []

    def reward(index, episodes):
        lengths.append(episodes.length)
        return np.zeros(episodes.action.shape)

    policy, start = endless_policy(task), Clock(0, 0, 100)
    loss = MRT(policy, reward=reward, samples=2, reference=True).loss(batch, start)
    candidates = lengths[0].view(-1, 3)
    assert torch.equal(candidates[:, 2], batch.length)
    assert torch.equal(candidates[:, :2], batch.limit[:, None].expand(-1, 2))
    assert loss.tokens == candidates.sum()
    mixer = Mixer(policy, reward=reward)
    assert mixer.loss(batch, start).tokens == batch.tokens
    assert mixer.loss(batch, start.later(99)).tokens == batch.limit.sum()
