"""A teacher with another vocabulary: sources and outputs go through text."""

from __future__ import annotations

import json
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from agents.evaluation.outputs import generate_texts
from agents.generation.beam import beam_search
from agents.policies.transformer import TransformerPolicy
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.oracles.texts import ReencodingOracle
from textgen_env.tasks import copy
from textgen_env.types import EOS, UNK, Trajectories, pad, shift

SYMBOLS = ("a", "b", "c", "d", "e")


@pytest.fixture(scope="module")
def task():
    """Copy-v0 with five symbols."""
    return copy.load(symbols=5, max_length=4, horizon=8, train=10, valid=5, test=10)


@pytest.fixture(scope="module")
def teacher(task):
    """Random weights over the tokens of the task."""
    torch.manual_seed(0)
    return TransformerPolicy(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16).eval()


def echo(source, limit):
    """Each source as output, within its limit."""
    rows = [row[row != 0].numpy() for row in source]
    rows = [row[:n] for row, n in zip(rows, torch.as_tensor(limit).tolist(), strict=True)]
    length = torch.tensor([*map(len, rows)])
    return Trajectories(torch.from_numpy(pad(rows, int(length.max()))), length, length.float())


def echoing(teacher, student, policy=None):
    """An oracle that repeats its source."""
    return ReencodingOracle(policy, echo, teacher, student)


def encoded(vocabulary, *texts):
    rows = [torch.tensor([*vocabulary.encode(text), EOS]).numpy() for text in texts]
    return torch.from_numpy(pad(rows, max(map(len, rows))))


def texts_of(vocabulary, trajectories):
    return [vocabulary.decode(row) for row in trajectories.action.tolist()]


@pytest.mark.parametrize("keep", [1, 3])
def test_texts_are_those_of_the_teacher_on_its_own_tokens(task, teacher, keep):
    other = task.with_vocabulary(Vocabulary.from_words([*SYMBOLS[1:], *SYMBOLS[:1]]))
    search = partial(beam_search, teacher, width=5, keep=keep)
    oracle = ReencodingOracle(teacher, search, task.vocabulary, other.vocabulary)
    for own, others in zip(task.splits["test"].source, other.splits["test"].source, strict=True):
        assert own.tolist() != others.tolist()
        limit = task.limit(len(own))
        expected = search(torch.from_numpy(own)[None], limit)
        output = oracle.demonstrate(torch.from_numpy(others)[None], limit)
        assert texts_of(other.vocabulary, output) == texts_of(task.vocabulary, expected)
        torch.testing.assert_close(output.score, expected.score)
    decode = oracle.reencoded(search)
    if keep == 1:
        assert generate_texts(decode, other, other.splits["test"]) == generate_texts(
            search, task, task.splits["test"]
        )


def test_the_teacher_may_generate_in_proportion_to_its_tokens():
    pieces, words = Vocabulary.train(["abcde abc"], 10), Vocabulary.from_words(["abcde", "abc"])
    oracle = echoing(pieces, words)
    assert len(pieces.encode("abcde abc")) > len(words.encode("abcde abc")) == 2
    output = oracle.demonstrate(encoded(words, "abcde abc"), 3)
    assert texts_of(words, output) == ["abcde abc"]
    assert output.length.tolist() == [3]
    assert not any(oracle.counts.values())


def test_outputs_beyond_the_limit_are_cut_and_counted():
    words = Vocabulary.from_words(["ab", "abc"])
    pieces = Vocabulary.train(["ab abc"], 10)
    oracle = echoing(words, pieces)
    source = encoded(pieces, "ab abc ab", "ab")
    output = oracle.demonstrate(source, torch.tensor([2, 50]))
    assert output.length.tolist() == [2, len(pieces.encode("ab")) + 1]
    assert EOS not in output.action[0]
    assert texts_of(pieces, output)[1] == "ab"
    assert oracle.counts["cut"] == 1
    assert oracle.queries == int(output.length.sum())


def test_lossy_texts_are_counted_on_both_ways():
    teacher, student = Vocabulary.from_words(["a", "b"]), Vocabulary.from_words(["a", "c"])
    oracle = echoing(teacher, student)
    output = oracle.demonstrate(encoded(student, "a a", "a c"), 5)
    assert oracle.counts["sources"] == 1  # the teacher has no c
    assert oracle.counts["outputs"] == 1  # its output has UNK
    assert UNK in output.action[1]
    assert texts_of(student, output)[0] == "a a"


def test_sources_are_truncated_to_what_the_teacher_can_take():
    words, reversed_words = (Vocabulary.from_words(w) for w in (["a", "b"], ["b", "a"]))
    oracle = echoing(words, reversed_words, SimpleNamespace(fit=lambda horizon: (3, horizon)))
    output = oracle.demonstrate(encoded(reversed_words, "a b a b", "a b"), 9)
    assert texts_of(reversed_words, output) == ["a b", "a b"]
    assert oracle.counts["truncated"] == 1


def test_queries_token_by_token_are_refused_with_both_vocabularies(task, query):
    other = Vocabulary.from_words(["x"])
    oracle = ReencodingOracle(None, echo, other, task.vocabulary, "hf:other")
    for method in (oracle.log_probs, oracle.action):
        with pytest.raises(UserError) as error:
            method(*query)
        for part in ("hf:other", other.fingerprint, task.vocabulary.fingerprint, "5 tokens"):
            assert part in str(error.value)


def test_only_tokens_count_for_queries_token_by_token():
    """How a tokenizer splits text does not: the teacher gets the ids of the student's prefixes."""
    own = Vocabulary.train(["ab ba", "abab"] * 3, 12)
    spec = json.loads(own.to_json())
    spec["model"]["merges"].pop()
    other = Vocabulary.from_json(json.dumps(spec))
    assert own.encode("abab") != other.encode("abab")
    assert own.fingerprint == other.fingerprint
    torch.manual_seed(0)
    policy = TransformerPolicy(len(own), layers=1, width=16, heads=2, ffn=16).eval()
    oracle = PolicyOracle(policy, beam_search, other, own)
    source = encoded(own, "abab ab")
    prefix = shift(source)
    expected = policy(source, prefix).log_softmax(-1)
    torch.testing.assert_close(oracle.log_probs(source, prefix), expected)


def test_tokens_in_another_order_are_another_vocabulary():
    own, other = Vocabulary.from_words(["a", "b"]), Vocabulary.from_words(["b", "a"])
    assert len(own) == len(other)
    with pytest.raises(UserError, match="is not the student's"):
        PolicyOracle(None, beam_search, other, own)
