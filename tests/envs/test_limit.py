"""One limit: whoever generates for a source stops where the environment does, and a policy that never ends pays for it."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.algorithms import Clock
from agents.algorithms.mixer import Mixer
from agents.algorithms.mrt import MRT
from agents.discovery import build, settings
from agents.estimators.cost_to_go import random_step
from agents.evaluation.outputs import generate_texts
from agents.evaluation.sentence import analyze_sentence
from agents.evaluation.speed import decoding_speed
from agents.generation import decoding, interleaved
from agents.generation.beam import beam_search
from agents.generation.decoder import Decoder
from agents.policies.transformer import Transformer
from agents.runs.demonstrations import training_demonstrations
from cli import read
from support.learners import ALGORITHMS, batch_of, first_loss
from support.tiny import tiny_task
from textgen_env.data.batching import Batches, sequential_batches
from textgen_env.data.files import cache_dir
from textgen_env.data.limit import Limit
from textgen_env.envs import rewards
from textgen_env.envs.env import TextGenEnv
from textgen_env.errors import UserError
from textgen_env.oracles.cached import CachedOracle
from textgen_env.oracles.noisy import NoisyOracle
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.oracles.references import ReferenceOracle
from textgen_env.tasks import copy, tasks
from textgen_env.tasks.task import expert
from textgen_env.types import EOS, PAD, Trajectories

BOUNDED = ("IWSLT-v0", "WMT16-v0", "Multi30k-v0", "ParallelText-v0", "G2P-v0")
NOTHING_GENERATED = {  # they learn from what is there; any other algorithm is taken to roll out, a new one too
    *(
        "bc",
        "mle",
        "seqkd",
        "word_kd",
        "seqkd_full",
        "seqinter",
        "gold",
        "gold_p",
        "gold_s",
        "scheduled_sampling",
    ),
}


def limited(task, ratio=1.0, offset=20, horizon=40):
    return replace(task, limit=Limit(horizon, ratio, offset))


def endless(task):
    """A policy that never generates EOS."""
    policy = Transformer(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16)
    with torch.no_grad():
        policy.decoder_norm.bias.copy_(-99 * policy.target_embedding.weight[EOS])
    return policy


def of_sources(task, source):
    """``[B]``: the limit of each row."""
    return task.limit((source != PAD).sum(1))


# --- the rule


@given(
    st.one_of(
        st.none(), st.tuples(st.integers(0, 500).map(lambda n: n / 100), st.integers(1, 300))
    ),
    st.integers(1, 200),
    st.lists(st.integers(1, 500), min_size=1, max_size=20),
)
def test_it_is_the_line_rounded_up_within_the_horizon_for_numbers_arrays_and_tensors(
    task, line, horizon, lengths
):
    ratio, offset = line or (None, None)
    rule = limited(task, ratio, offset, horizon)
    expected = [
        min(horizon, math.ceil(Fraction(str(ratio)) * length) + offset) if line else horizon
        for length in lengths
    ]
    assert [rule.limit(length) for length in lengths] == expected
    assert min(expected) >= 1
    array, tensor = rule.limit(np.array(lengths)), rule.limit(torch.tensor(lengths))
    assert array.dtype == np.int64
    assert tensor.dtype == torch.int64
    assert array.tolist() == tensor.tolist() == expected
    assert [
        eval(rule.limit.code("length"), {"length": length, "min": min}) for length in lengths
    ] == expected


def test_the_limit_follows_the_source_in_translation_and_g2p_and_is_the_horizon_elsewhere():
    for id, module in tasks().items():
        keys = settings(module.load)
        expected = (1.2, 10) if id in BOUNDED else (None, None)
        assert (keys.get("limit_ratio"), keys.get("limit_offset")) == expected, id


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"limit_ratio": -0.1, "limit_offset": 3},
            "limit_ratio=-0.1: a number of at least 0 and at most 1,000 expected",
        ),
        (
            {"limit_ratio": math.nan, "limit_offset": 3},
            "limit_ratio=nan: a number of at least 0 and at most 1,000 expected",
        ),
        (
            {"limit_ratio": math.inf, "limit_offset": 3},
            "limit_ratio=inf: a number of at least 0 and at most 1,000 expected",
        ),
        ({"limit_ratio": "1", "limit_offset": 3}, "limit_ratio='1': a number expected"),
        (
            {"limit_ratio": 1.2, "limit_offset": 0},
            "limit_offset=0: a number of at least 1 and at most 65,536 expected",
        ),
        ({"limit_ratio": 1.2, "limit_offset": 1.5}, "limit_offset=1.5: a whole number expected"),
        ({"limit_ratio": 1.2}, "limit_ratio=1.2 limit_offset=None: give both, or neither"),
        ({"limit_offset": 5}, "limit_ratio=None limit_offset=5: give both, or neither"),
    ],
)
def test_a_limit_without_sense_is_one_line(options, message):
    with pytest.raises(UserError) as error:
        copy.load(**options)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("env", ["IWSLT-v0", "Copy-v0"])
@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "env.limit_ratio=-1",
            r"env\.limit_ratio=-1\.0: a number of at least 0 and at most 1,000 expected",
        ),
        (
            "env.limit_offset=0",
            r"env\.limit_offset=0: a number of at least 1 and at most 65,536 expected",
        ),
        ("env.limit_offset=1.5", r"env\.limit_offset=1\.5: int expected"),
        ("env.limit_ratio=much", r"env\.limit_ratio=much: float expected"),
    ],
)
def test_the_command_line_names_the_key(env, word, message):
    with pytest.raises(UserError, match=message):
        read("dagger", [f"env={env}", word])
    config = read("dagger", [f"env={env}", "env.limit_ratio=2", "env.limit_offset=3"])
    assert (config.env.limit_ratio, config.env.limit_offset) == (2.0, 3)


def test_a_task_takes_it_and_says_which_references_are_longer():
    assert copy.load(train=50, limit_ratio=1.0, limit_offset=1, horizon=12).limit(3) == 4
    task = limited(
        tiny_task(), 0.5, 1, 9
    )  # targets of 6, 6, 3 and 9 tokens; sources of 6, 6, 3 and 10: 4, 4, 3 and 6
    assert task.describe()[-3:] == [
        "3 of 4 train references are longer than what may be generated (0.5 · source + 1 tokens, at most 9); "
        "learned from whole",
        *(f"1 of {rows} {name} references are longer than what may be generated (0.5 · source + 1 tokens, at most 9); "
          "scored whole" for name, rows in (("valid", 2), ("test", 1))),
    ]  # fmt: skip
    assert not any("longer than" in line for line in limited(tiny_task(), 1.0, 1, 9).describe())


# --- everybody keeps to it


def test_a_batch_carries_it_and_keeps_references_whole():
    task = limited(tiny_task(), 0.5, 1, 9)
    for batch in (
        Batches(task.splits["train"], 50, 0, task.limit).at(0),
        next(sequential_batches(task.splits["train"], 50, task.limit)),
    ):
        assert torch.equal(batch.limit, of_sources(task, batch.source))
        assert batch.length.tolist() == [len(task.splits["train"].target[i]) for i in batch.index]
        assert (batch.length > batch.limit).any()


@pytest.mark.parametrize("kind", ["exact", "references", "noisy", "cached", "policy"])
def test_demonstrations_end_at_the_limit_of_their_row(kind, task):
    task = limited(task, 0.5, 1)
    batch = Batches(task.splits["train"], 400, 0, task.limit).at(0)
    exact, policy = expert(task), endless(task)
    oracle = {
        "exact": exact,
        "references": ReferenceOracle(task.splits.values(), len(task.vocabulary)),
        "noisy": NoisyOracle(exact, 0.0, torch.Generator()),
        "cached": CachedOracle(exact),
        "policy": PolicyOracle(
            policy, partial(beam_search, width=3), task.vocabulary, task.vocabulary
        ),
    }[kind]
    together = oracle.demonstrate(batch.source, batch.limit)
    assert (together.length <= batch.limit).all()
    assert (together.length == batch.limit).any()
    for row, limit in enumerate(batch.limit.tolist()):
        alone = oracle.demonstrate(batch.source[row : row + 1], limit)
        assert torch.equal(alone.action[0], together.action[row, : together.length[row]])
        assert (together.action[row, together.length[row] :] == PAD).all()


def test_whoever_is_evaluated_is_given_the_limit_of_each_sentence(task):
    task, asked = limited(task, 0.7, 2), []
    policy = endless(task)
    write = Decoder(policy, 1, "float32", "cpu")

    def watched(source, steps):
        asked.append((source, steps))
        return write(source, steps)

    split = task.splits["test"]
    generate_texts(watched, task, split)
    decoding_speed({"student": watched}, task, split, batch_size=7, rounds=1)
    seen = analyze_sentence(policy, watched, expert(task), task, "test", 3)
    assert len(asked) > 3
    assert all(torch.equal(steps, of_sources(task, source)) for source, steps in asked)
    assert len(seen.steps) == task.limit(len(split.source[3]))


def test_demonstrations_that_were_made_under_another_limit_are_not_taken(task):
    made = {}
    for offset in (1, 2):
        rule = limited(task, 0.5, offset)
        split = training_demonstrations("teacher", rule, expert(rule), "float32", "cpu").split
        made[offset] = [row for row, target in enumerate(split.target) if len(target)]
        for row in made[offset]:
            assert split.target[row][-1] == EOS
            assert len(split.target[row]) <= rule.limit(len(split.source[row]))
    assert 0 < len(made[1]) < len(made[2])
    assert len(list((cache_dir() / "demonstrations").glob("Copy-v0-*"))) >= 2


def test_the_screen_counts_up_to_the_limit(task):
    task = limited(task)
    env = TextGenEnv(task, "test", render_mode="ansi")
    env.reset(options={"index": 4})
    assert f"step 0 of {task.limit(len(task.splits['test'].source[4]))}" in env.render()


# --- who never ends pays for it


def watched(monkeypatch):
    """What is generated from now on: limit ``[B]`` and trajectories of every decode, of policy or oracle or both."""
    rolled, roll = [], decoding.decode_loop

    def record(step, start, limit, most):
        rolled.append((limit, roll(step, start, limit, most)))
        return rolled[-1][1]

    for module in (decoding, interleaved):
        monkeypatch.setattr(module, "decode_loop", record)
    return rolled


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_policy_that_never_ends_reaches_the_limit_of_each_source_and_pays_for_every_step(
    name, task, monkeypatch
):
    task = limited(task)
    batch, oracle = batch_of(task, tokens=200), expert(task)
    rolled, paid, scorer = watched(monkeypatch), [], rewards.make("zero_one", task, oracle)

    def pay(index, written):
        paid.append(
            (index.numpy(), written, rewards.score(scorer, task, "train", index.numpy(), written))
        )
        return paid[-1][2]

    alone = (
        {"teacher_mix": 0.0} if name == "minillm" else {}
    )  # else its oracle, which shares in the sampling, ends every row
    algorithm = build(ALGORITHMS[name], alone, policy=endless(task), oracle=oracle, reward=pay)
    loss = first_loss(algorithm, batch, Clock(0, 99, 100))
    assert bool(rolled) == (name not in NOTHING_GENERATED)
    for limit, written in rolled:
        going_on = ~(written.action == EOS).any(1)
        assert set(limit.tolist()) <= set(of_sources(task, batch.source).tolist())
        assert torch.equal(written.length[going_on], limit[going_on])
        assert (written.length <= limit).all()
    for (
        index,
        written,
        earned,
    ) in paid:  # as the oracle would have ended it after its source's length
        length, going_on = (
            [len(task.splits["train"].source[row]) for row in index],
            ~(written.action == EOS).any(1).numpy(),
        )
        beyond = written.length.numpy() - length + 1
        assert (earned.sum(1)[going_on] <= -beyond[going_on]).all()
    scored = (
        [] if name == "aggrevated" else [written.length for _, written, _ in paid]
    )  # its oracle ends what is scored
    for lengths in ([written.length for _, written in rolled], scored):
        assert (
            not lengths or torch.cat(lengths).max() == batch.limit.max() > 2 * batch.target.shape[1]
        )
    if name == "minillm":  # its return sums over all that was generated
        assert loss.tokens == batch.limit.sum()


@pytest.mark.parametrize("reward", ["zero_one", "expert_logprob", "bleu", "rouge", "accuracy"])
def test_an_episode_that_goes_on_after_its_text_earns_less_than_the_text(reward):
    task = limited(tiny_task(), 1.2, 10, 30)
    scorer, index = rewards.make(reward, task, expert(task)), np.arange(4)
    target = task.splits["train"].target
    endless = [np.append(row[:-1], [row[-2]] * (task.limit(len(source)) - len(row) + 1))
               for row, source in zip(target, task.splits["train"].source, strict=True)]  # fmt: skip
    returns = []
    for rows in (target, endless):
        action = rewards.pad(rows, max(map(len, rows)))
        written = Trajectories(
            torch.from_numpy(action), torch.tensor([len(row) for row in rows]), torch.zeros(4)
        )
        returns.append(rewards.score(scorer, task, "train", index, written).sum(1))
    assert (returns[1] < returns[0]).all()


# --- references longer than their limit


def test_a_state_beyond_the_limit_is_never_chosen():
    task = limited(tiny_task(), 0.5, 1, 9)
    batch = next(sequential_batches(task.splits["train"], 100, task.limit))
    noise = Clock(0, 0, 1).uniform("step", batch.row, 200)  # [B, 200]
    times = torch.stack([random_step(batch, one)[0] for one in noise.unbind(1)])  # [200, B]
    assert torch.equal(times.amax(0) + 1, torch.minimum(batch.length, batch.limit))


def test_a_reference_among_what_is_learned_from_stays_whole():
    """MRT's candidate and MIXER's head are teacher-forced."""
    task = limited(tiny_task(), 0.5, 1, 9)
    batch, lengths = next(sequential_batches(task.splits["train"], 100, task.limit)), []

    def pay(index, written):
        lengths.append(written.length)
        return np.zeros(written.action.shape)

    given, start = {"policy": endless(task), "reward": pay}, Clock(0, 0, 100)
    loss = MRT(**given, samples=2, reference=True).loss(batch, start)
    candidates = lengths[0].view(-1, 3)
    assert torch.equal(candidates[:, 2], batch.length)
    assert torch.equal(candidates[:, :2], batch.limit[:, None].expand(-1, 2))
    assert loss.tokens == candidates.sum()
    mixer = Mixer(**given)
    assert mixer.loss(batch, start).tokens == batch.tokens
    assert mixer.loss(batch, start.later(99)).tokens == batch.limit.sum()
