"""Rewards against their definitions, and step by step against whole trajectories."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from support.tiny import REWARDS, progress, tiny_task
from textgen_env.data.corpus import Corpus, Pairs
from textgen_env.data.limit import Limit
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.envs import rewards
from textgen_env.errors import UserError
from textgen_env.metrics.scores import sentence_score
from textgen_env.oracles.cached import CachedOracle
from textgen_env.oracles.noisy import NoisyOracle
from textgen_env.tasks import copy
from textgen_env.tasks.task import Task, expert
from textgen_env.types import EOS, Trajectories, pad, shift


@pytest.fixture
def task():
    return tiny_task()


def trajectories(rows: list[list[int]]) -> Trajectories:
    length = torch.tensor([len(row) for row in rows])
    action = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    return Trajectories(action, length, torch.zeros(len(rows)))


def score(reward, task, index, episodes, split="train"):
    """Rewards ``[B, T]`` of trajectories; ``reward`` is a name or a function."""
    reward = rewards.make(reward, task, expert(task))
    return rewards.score_trajectories(reward, task, split, index, episodes)


def test_references_earn_the_maximum(task):
    index = [0, 1, 2, 3]
    references = trajectories([row.tolist() for row in task.splits["train"].target])
    mask = (torch.arange(references.action.shape[1]) < references.length[:, None]).numpy()
    for name, maximum in {"zero_one": 0.0, "expert_logprob": np.log(0.99)}.items():
        earned = score(name, task, index, references)
        np.testing.assert_allclose(earned, np.where(mask, maximum, 0.0), rtol=1e-6)
    terminal = {**dict.fromkeys(rewards.METRIC_REWARDS, 1.0), "expert_logprob_mean": np.log(0.99)}
    for name, maximum in terminal.items():
        earned = score(name, task, index, references)
        np.testing.assert_allclose(earned.sum(axis=1), maximum, rtol=1e-6)
        assert not earned[:, :-1][mask[:, 1:]].any()  # paid at the last action


def test_zero_one_is_minus_the_number_of_disagreements(task):
    target = task.splits["train"].target[0].tolist()
    actions = [target[0] + 1, *target[1:3], 0, *target[4:]]
    earned = score("zero_one", task, [0], trajectories([actions]))
    assert earned.tolist() == [[-1, 0, 0, -1, 0, 0]]


@pytest.mark.parametrize(("name", "key"), [("bleu", "bleu"), ("chrf", "chrf"), ("rouge", "rougeL")])
def test_metric_rewards_of_truncated_episodes(name, key, task):
    texts = ["the dog sees", "the a cat sees"]
    rows = [task.vocabulary.encode(text) for text in texts]  # without EOS
    earned = score(name, task, [0, 1], trajectories(rows)).sum(axis=1)
    references = task.splits["train"].texts.references
    scores = [sentence_score(name, text, references[row]) for row, text in enumerate(texts)]
    np.testing.assert_allclose(earned, [values[key] / 100 for values in scores])
    assert ((earned > 0) & (earned < 1)).all()


def test_function_rewards_get_the_episode_so_far(task):
    calls = []

    def constant(*arguments):
        calls.append(arguments)
        return 1

    earned = score(constant, task, [1, 0], trajectories([[5, 2], [6, 7, 8]]), split="valid")
    assert earned.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert all(call[0] is task for call in calls)
    assert [(split, index, action.tolist(), ended) for _, split, index, action, ended in calls] == [
        ("valid", 1, [5], False),
        ("valid", 1, [5, 2], True),
        ("valid", 0, [6], False),
        ("valid", 0, [6, 7], False),
        ("valid", 0, [6, 7, 8], True),
    ]


@pytest.mark.parametrize("name", REWARDS)
def test_stepwise_rewards_equal_trajectory_rewards(name, task):
    reward = rewards.make(REWARDS[name], task, expert(task))
    rows = [[5, 6, 2], [4, 7, 8, 9, 1, 0, 3, 4, 5], [2]]
    finished = trajectories(rows)
    action, length = finished.action.numpy(), finished.length.numpy()
    index = np.array([3, 0, 1])
    source = pad([task.splits["train"].source[row] for row in index], task.source_limit)
    stepped = np.zeros(action.shape)
    for step in range(action.shape[1]):
        running = np.flatnonzero(length > step)
        so_far = np.where(np.arange(action.shape[1]) <= step, action, 0)[running]
        ended = length[running] == step + 1
        length_so_far = np.full(len(running), step + 1)
        episodes = rewards.EpisodeBatch(
            ["train"] * len(running), index[running], source[running], so_far, length_so_far, ended
        )
        stepped[running, step] = reward(episodes, episodes.last)
    expected = rewards.score_trajectories(reward, task, "train", index, finished)
    np.testing.assert_array_equal(stepped, expected)


def test_known_expert_actions_are_not_queried_again(task):
    oracle = expert(task)
    reward = rewards.make("zero_one", task, oracle)
    action = trajectories([[5, 6, 2]]).action.numpy()
    source = pad([task.splits["train"].source[0]], task.source_limit)
    episodes = rewards.EpisodeBatch(
        ["train"], np.array([0]), source, action, np.array([3]), np.array([True])
    )
    assert reward(episodes, episodes.mask, np.array([5, 5, 2])).tolist() == [0, -1, 0]
    assert oracle.queries == 0


def test_expert_logprob_of_a_cached_noisy_oracle(task):
    references = trajectories([row.tolist() for row in task.splits["train"].target])
    noisy = NoisyOracle(expert(task), 0.5, torch.Generator().manual_seed(0))
    reward = rewards.make("expert_logprob", task, CachedOracle(noisy))
    earned = rewards.score_trajectories(reward, task, "train", [0, 1, 2, 3], references)
    source = torch.from_numpy(pad(task.splits["train"].source, 10))
    log_probs = noisy.log_probs(source, shift(references.action))
    expected = log_probs.gather(2, references.action[..., None])[..., 0].numpy()
    mask = earned != 0
    np.testing.assert_allclose(earned[mask], expected[mask], rtol=1e-6)
    assert mask.sum() == int(references.length.sum())


@pytest.mark.parametrize(
    ("name", "optimum"), [("expert_logprob", [EOS]), ("expert_logprob_mean", [4, 4, 4, EOS])]
)
def test_summed_log_probability_prefers_the_empty_output_and_its_mean_does_not(name, optimum):
    """Enumerates all 97 outputs for "a a a", with an expert of accuracy 0.4 that copies."""
    task = copy.load(symbols=2, min_length=3, max_length=3, horizon=4, train=8, valid=1, test=1)
    index = task.splits["train"].texts.sources.index("a a a")
    tokens = range(2, len(task.vocabulary))  # all but PAD and BOS
    outputs = [
        [*symbols, *end]
        for length in range(5)
        for symbols in itertools.product([t for t in tokens if t != EOS], repeat=length)
        for end in ([[EOS]] if length < 4 else [[]])
    ]
    reward = rewards.make(name, task, copy.CopyOracle(len(task.vocabulary), 0.6))
    rows = [index] * len(outputs)
    earned = rewards.score_trajectories(reward, task, "train", rows, trajectories(outputs))
    assert outputs[int(earned.sum(axis=1).argmax())] == optimum


def test_mean_logprob_is_the_sum_divided_by_the_length(task):
    outputs = trajectories([[5, 6, 2], [4, 7, 8, 9, 1, 0, 3, 4, 5], [2]])
    summed, mean = (
        score(name, task, [3, 0, 1], outputs).sum(axis=1)
        for name in ("expert_logprob", "expert_logprob_mean")
    )
    np.testing.assert_allclose(mean, summed / outputs.length.numpy())


def chinese(metric: str) -> Task:
    """One Chinese sentence in every split, one token per character, without a BLEU tokenizer."""
    pairs = Pairs(["我 们 今 天 去 学 校 。"], [("我们今天去学校。",)])
    splits = dict.fromkeys(("train", "valid", "test"), pairs)
    corpus = Corpus("tiny", "local", "by hand", splits)
    vocabulary = Vocabulary.from_words(list("我们今天去学校。"))
    return Task("Tiny-v0", corpus, vocabulary, 20, Limit(20), metric=metric, reward="bleu")


@pytest.mark.parametrize("metric", ["bleu:zh", "rouge"])
def test_bleu_reward_uses_the_tokenizer_of_the_language(metric):
    task = chinese(metric)
    text = trajectories([task.vocabulary.encode("我 们 今 天 去 学 校")])
    earned = score("bleu", task, [0], text).sum()
    hypothesis = task.vocabulary.decode(text.action[0].tolist())
    expected = sentence_score("bleu:zh", hypothesis, ["我们今天去学校。"])["bleu"]
    assert 0.5 < earned == pytest.approx(expected / 100)  # the tokenizer 13a would give 0


def test_bleu_reward_without_a_tokenizer_raises_a_clear_error():
    pairs = Pairs(["a"], [("แมวนอนหลับอยู่",)])
    thai = Corpus("tiny", "local", "by hand", dict.fromkeys(("train", "valid", "test"), pairs))
    vocabulary = Vocabulary.from_words(["a"])
    task = Task("Tiny-v0", thai, vocabulary, 9, Limit(9), metric="rouge", reward="rouge")
    with pytest.raises(UserError, match=r"no tokenizer .* Thai script.*: use reward=chrf$"):
        rewards.make("bleu", task)


def test_invalid_names_raise_clear_errors(task):
    with pytest.raises(UserError, match="did you mean 'zero_one'"):
        rewards.make("zero_on", task, expert(task))
    for name in rewards.EXPERT_REWARDS:
        with pytest.raises(UserError, match="needs an oracle"):
            rewards.make(name, task)


@pytest.mark.parametrize("path", ["support.tiny.progress", "support.tiny:progress"])
def test_dotted_path_names_a_function(path, task):
    assert rewards.make(path, task) == rewards.make(progress, task)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module.length", r"cannot import reward 'no_such_module.length' \(ModuleNotFound"),
        ("support.tiny.regress", r"cannot import reward 'support.tiny.regress' \(.*no attribute"),
        ("support.tiny.WORDS", "reward 'support.tiny.WORDS' is not a function"),
    ],
)
def test_dotted_path_without_a_function_raises_a_clear_error(path, message, task):
    with pytest.raises(UserError, match=message):
        rewards.make(path, task)
