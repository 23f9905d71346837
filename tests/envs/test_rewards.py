"""Rewards against their definitions, and the two ways to ask for them."""

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
from textgen_env.types import EOS, Trajectories, shift


@pytest.fixture
def task():
    return tiny_task()


def written(rows: list[list[int]]) -> Trajectories:
    """Those actions as trajectories."""
    length = torch.tensor([len(row) for row in rows])
    action = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    return Trajectories(action, length, torch.zeros(len(rows)))


def test_the_experts_own_words_earn_the_most(task):
    index = [0, 1, 2, 3]
    references = written([row.tolist() for row in task.splits["train"].target])
    inside = (torch.arange(references.action.shape[1]) < references.length[:, None]).numpy()
    earned = rewards.score(
        rewards.make("expert_logprob_mean", task, expert(task)), task, "train", index, references
    )
    np.testing.assert_allclose(earned.sum(axis=1), np.log(0.99), rtol=1e-6)
    for name, best in {"zero_one": 0.0, "expert_logprob": np.log(0.99)}.items():
        earned = rewards.score(
            rewards.make(name, task, expert(task)), task, "train", index, references
        )
        np.testing.assert_allclose(earned, np.where(inside, best, 0.0), rtol=1e-6)
    for name in rewards.TERMINAL:
        earned = rewards.score(rewards.make(name, task), task, "train", index, references)
        np.testing.assert_allclose(earned.sum(axis=1), 1.0)
        assert not earned[:, :-1][inside[:, 1:]].any()  # all of it is paid at the end


def test_zero_one_is_minus_the_number_of_disagreements(task):
    target = task.splits["train"].target[0].tolist()
    slipped = [target[0] + 1, *target[1:3], 0, *target[4:]]
    earned = rewards.score(
        rewards.make("zero_one", task, expert(task)), task, "train", [0], written([slipped])
    )
    assert earned.tolist() == [[-1, 0, 0, -1, 0, 0]]


def test_terminal_rewards_are_the_metric_over_100_truncated_or_not(task):
    texts = ["the dog sees", "the a cat sees"]
    rows = [task.vocabulary.encode(text) for text in texts]  # no EOS: cut by the horizon
    for name, figure in {"bleu": "bleu", "chrf": "chrf", "rouge": "rougeL"}.items():
        earned = rewards.score(rewards.make(name, task), task, "train", [0, 1], written(rows)).sum(
            axis=1
        )
        references = task.splits["train"].texts.references
        expected = [
            sentence_score(name, text, references[row])[figure] / 100
            for row, text in enumerate(texts)
        ]
        np.testing.assert_allclose(earned, expected)
        assert ((earned > 0) & (earned < 1)).all()


def test_a_function_is_told_where_the_episode_stands(task):
    seen = []

    def spy(*given):
        seen.append(given)
        return 1

    earned = rewards.score(
        rewards.make(spy, task), task, "valid", [1, 0], written([[5, 2], [6, 7, 8]])
    )
    assert earned.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert [(split, index, action.tolist(), ended) for _, split, index, action, ended in seen] == [
        ("valid", 1, [5], False),
        ("valid", 1, [5, 2], True),
        ("valid", 0, [6], False),
        ("valid", 0, [6, 7], False),
        ("valid", 0, [6, 7, 8], True),
    ]
    assert all(task is given[0] for given in seen)


@pytest.mark.parametrize("name", REWARDS)
def test_one_position_at_a_time_is_all_at_once(name, task):
    reward = rewards.make(REWARDS[name], task, expert(task))
    rows = [[5, 6, 2], [4, 7, 8, 9, 1, 0, 3, 4, 5], [2]]
    whole = written(rows)
    action, length = whole.action.numpy(), whole.length.numpy()
    index = np.array([3, 0, 1])
    source = rewards.pad([task.splits["train"].source[row] for row in index], task.source_limit)
    stepped = np.zeros(action.shape)
    for step in range(action.shape[1]):
        alive = np.flatnonzero(length > step)
        so_far = np.where(np.arange(action.shape[1]) <= step, action, 0)[alive]
        ended = length[alive] == step + 1
        length_so_far = np.full(len(alive), step + 1)
        episodes = rewards.Episodes(
            ["train"] * len(alive), index[alive], source[alive], so_far, length_so_far, ended
        )
        stepped[alive, step] = reward(episodes, episodes.last)
    np.testing.assert_array_equal(stepped, rewards.score(reward, task, "train", index, whole))


def test_what_the_caller_knows_of_the_expert_is_not_asked_again(task):
    oracle = expert(task)
    reward = rewards.make("zero_one", task, oracle)
    whole = written([[5, 6, 2]])
    source = rewards.pad([task.splits["train"].source[0]], task.source_limit)
    episodes = rewards.Episodes(
        ["train"], np.array([0]), source, whole.action.numpy(), np.array([3]), np.array([True])
    )
    assert reward(episodes, episodes.taken, np.array([5, 5, 2])).tolist() == [0, -1, 0]
    assert oracle.queries == 0


def test_any_oracle_can_pay(task):
    clean = written([row.tolist() for row in task.splits["train"].target])
    noisy = NoisyOracle(expert(task), 0.5, torch.Generator().manual_seed(0))
    earned = rewards.score(
        rewards.make("expert_logprob", task, CachedOracle(noisy)),
        task,
        "train",
        [0, 1, 2, 3],
        clean,
    )
    direct = noisy.log_probs(
        *(torch.from_numpy(rewards.pad(task.splits["train"].source, 10)), shift(clean.action))
    )
    expected = direct.gather(2, clean.action[..., None])[..., 0].numpy()
    inside = earned != 0
    np.testing.assert_allclose(earned[inside], expected[inside], rtol=1e-6)
    assert inside.sum() == int(clean.length.sum())


@pytest.mark.parametrize(
    ("name", "best"), [("expert_logprob", [EOS]), ("expert_logprob_mean", [4, 4, 4, EOS])]
)
def test_the_summed_log_probability_prefers_the_empty_output_and_its_mean_the_expert(name, best):
    """Copying "a a a" by an expert that is right with probability 0.4: the best of all 97 outputs, by exhaustion."""
    task = copy.load(symbols=2, min_length=3, max_length=3, horizon=4, train=8, valid=1, test=1)
    index = task.splits["train"].texts.sources.index("a a a")
    tokens = range(2, len(task.vocabulary))  # all but PAD and BOS
    outputs = [
        [*words, *end]
        for length in range(5)
        for words in itertools.product([t for t in tokens if t != EOS], repeat=length)
        for end in ([[EOS]] if length < 4 else [[]])
    ]
    reward = rewards.make(name, task, copy.CopyOracle(len(task.vocabulary), 0.6))
    returns = rewards.score(reward, task, "train", [index] * len(outputs), written(outputs)).sum(
        axis=1
    )
    assert outputs[int(returns.argmax())] == best


def test_the_mean_is_the_sum_divided_by_the_length(task):
    outputs = written([[5, 6, 2], [4, 7, 8, 9, 1, 0, 3, 4, 5], [2]])
    summed, mean = (
        rewards.score(
            rewards.make(name, task, expert(task)), task, "train", [3, 0, 1], outputs
        ).sum(axis=1)
        for name in ("expert_logprob", "expert_logprob_mean")
    )
    np.testing.assert_allclose(mean, summed / outputs.length.numpy())


def chinese(metric: str) -> Task:
    """One Chinese sentence in every split, a character a token; no tokenizer chosen."""
    pairs = Pairs(["我 们 今 天 去 学 校 。"], [("我们今天去学校。",)])
    splits = dict.fromkeys(("train", "valid", "test"), pairs)
    corpus = Corpus("tiny", "local", "by hand", splits)
    return Task(
        "Tiny-v0",
        corpus,
        Vocabulary.from_words(list("我们今天去学校。")),
        20,
        Limit(20),
        metric=metric,
        reward="bleu",
    )


@pytest.mark.parametrize("metric", ["bleu:zh", "rouge"])
def test_the_reward_bleu_has_the_tokens_of_the_texts_language(metric):
    """Seven characters of eight agree: with tokens of 13a it would be 0."""
    task = chinese(metric)
    text = written([task.vocabulary.encode("我 们 今 天 去 学 校")])
    paid = rewards.score(rewards.make("bleu", task), task, "train", [0], text).sum()
    expected = sentence_score(
        "bleu:zh", task.vocabulary.decode(text.action[0].tolist()), ["我们今天去学校。"]
    )["bleu"]
    assert 0.5 < paid == pytest.approx(expected / 100)


def test_a_reward_without_a_tokenizer_is_refused():
    thai = Corpus(
        "tiny",
        "local",
        "by hand",
        dict.fromkeys(("train", "valid", "test"), Pairs(["a"], [("แมวนอนหลับอยู่",)])),
    )
    task = Task(
        "Tiny-v0",
        thai,
        Vocabulary.from_words(["a"]),
        source_limit=9,
        limit=Limit(9),
        metric="rouge",
        reward="rouge",
    )
    with pytest.raises(
        UserError, match=r"no tokenizer for text in Thai script.*: use reward=chrf$"
    ):
        rewards.make("bleu", task)


def test_mistakes_are_named(task):
    with pytest.raises(UserError, match="did you mean 'zero_one'"):
        rewards.make("zero_on", task, expert(task))
    for name in rewards.EXPERT:
        with pytest.raises(UserError, match="give an oracle"):
            rewards.make(name, task)
    rewards.make(progress, task)


@pytest.mark.parametrize("path", ["support.tiny.progress", "support.tiny:progress"])
def test_a_dotted_path_names_a_function(path, task):
    assert rewards.make(path, task) == rewards.make(progress, task)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module.length", r"cannot import reward 'no_such_module.length' \(ModuleNotFound"),
        ("support.tiny.regress", r"cannot import reward 'support.tiny.regress' \(.*no attribute"),
        ("support.tiny.WORDS", "reward 'support.tiny.WORDS' is not a function"),
    ],
)
def test_a_dotted_path_without_a_function_is_refused(path, message, task):
    with pytest.raises(UserError, match=message):
        rewards.make(path, task)
