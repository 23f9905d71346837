"""Beam search against exhaustive search and against its own rule, written in lists."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from agents.generation.beam import beam_search
from agents.generation.decoding import greedy
from agents.policies.transformer import TransformerPolicy
from support.table_policy import TablePolicy, teacher_forced_score
from textgen_env.types import BOS, EOS, Policy, Trajectories

V = 9
LOOP = TablePolicy(torch.tensor([0.0, 0.0, 0.3, 0.0, 0.7]).log())  # EOS, or token 4 again
SOURCE = torch.tensor([[EOS]])


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
def test_width_1_is_greedy(random_policy, random_source, length_penalty: float):
    output = beam_search(random_policy, random_source, 12, 1, length_penalty)
    expected = greedy(random_policy, random_source, 12)
    assert torch.equal(output.action, expected.action)
    assert torch.equal(output.length, expected.length)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0])
def test_a_beam_of_all_prefixes_finds_the_best_finished_sequences(
    random_policy, random_source, length_penalty: float
):
    horizon, width = 3, V**3
    bodies = [
        body for n in range(horizon) for body in itertools.product(range(EOS + 1, V), repeat=n)
    ]
    sequences = [[*body, EOS] for body in bodies]
    length = torch.tensor([len(sequence) for sequence in sequences])
    action = pad_sequence([torch.tensor(sequence) for sequence in sequences], batch_first=True)
    candidates = Trajectories(action, length, torch.zeros(len(action)))
    one = beam_search(random_policy, random_source, horizon, width, length_penalty)
    four = beam_search(random_policy, random_source, horizon, width, length_penalty, keep=4)
    for row, source in enumerate(random_source):
        sources = source.expand(len(action), -1)
        score = teacher_forced_score(random_policy, sources, candidates)
        best = (score / length**length_penalty).topk(4).indices.tolist()
        assert one.action[row, : one.length[row]].tolist() == sequences[best[0]]
        for i, candidate in enumerate(best, start=4 * row):
            assert four.action[i, : four.length[i]].tolist() == sequences[candidate]
            torch.testing.assert_close(four.score[i], score[candidate], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def search_in_lists(
    policy: Policy, source: Tensor, limit: int, width: int, length_penalty: float
) -> list[list[int]]:
    """The rule of ``beam_search`` for one source ``[S]``: at most ``width`` hypotheses."""
    live, finished = [(0.0, [])], []
    for _ in range(limit):
        candidates = []
        for score, tokens in live:
            log_probs = policy(source[None], torch.tensor([[BOS, *tokens]])).log_softmax(-1)[0, -1]
            following = enumerate(log_probs[EOS:].tolist(), start=EOS)
            candidates += [(score + gain, [*tokens, token]) for token, gain in following]
        candidates = sorted(candidates, reverse=True)[: 2 * width]
        finished += [(score, tokens) for score, tokens in candidates[:width] if tokens[-1] == EOS]
        live = [(score, tokens) for score, tokens in candidates if tokens[-1] != EOS][:width]
        if len(finished) >= width:
            break

    def value(hypothesis: tuple[float, list[int]]) -> float:
        score, tokens = hypothesis
        return score / len(tokens) ** length_penalty

    ranked = sorted(finished or live, key=value, reverse=True)
    return [tokens for _, tokens in ranked[:width]]


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_beam_search_follows_its_rule_with_a_limit_per_row(
    random_policy, random_source, width: int, length_penalty: float
):
    limit = torch.tensor([1, 2, 3, 8, 9, 9] * 2)
    output = beam_search(random_policy, random_source, limit, width, length_penalty, keep=width)
    for row, source in enumerate(random_source):
        expected = search_in_lists(random_policy, source, int(limit[row]), width, length_penalty)
        hypotheses = [
            output.action[i, : output.length[i]].tolist()
            for i in range(width * row, width * (row + 1))
        ]
        assert hypotheses == expected + [[]] * (width - len(expected))
    ended = (output.action == EOS).any(1)
    assert ended.any()
    assert width > 2 or (output.length[~ended] > 0).any(), "truncated hypotheses must occur"


@pytest.mark.parametrize("vocabulary_size", [66, 130, 300])
def test_beam_search_follows_its_rule_with_blocks_of_the_vocabulary(vocabulary_size: int):
    """Full blocks of tokens only, and with tokens left over."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        policy = TransformerPolicy(vocabulary_size, layers=1, width=16, heads=2, ffn=16).eval()
        source = torch.randint(EOS + 1, vocabulary_size, (6, 5))
    output = beam_search(policy, source, 6, 5, keep=5)
    for row, hypotheses in enumerate(output.action.unflatten(0, (6, 5)).tolist()):
        assert hypotheses == search_in_lists(policy, source[row], 6, 5, 1.0)


@pytest.mark.parametrize("width", [2, 3, 4, 5])
def test_a_row_stops_once_width_hypotheses_have_finished(width: int):
    """One hypothesis finishes at every step; each has a better mean score than the one before."""
    by_mean, by_sum = (
        beam_search(LOOP, SOURCE, 50, width, length_penalty, keep=width)
        for length_penalty in (1.0, 0.0)
    )
    assert by_mean.length.tolist() == [*range(width, 0, -1)]
    assert by_sum.length.tolist() == [*range(1, width + 1)]
    expected = (by_mean.length - 1) * math.log(0.7) + math.log(0.3)
    torch.testing.assert_close(by_mean.score, expected)


def test_truncated_hypotheses_count_only_if_none_has_finished():
    output = beam_search(LOOP, SOURCE, 3, width=5, keep=5)
    assert output.length.tolist() == [3, 2, 1, 0, 0]  # 4 4 4, truncated, has the best mean score
    assert output.score[3:].tolist() == [-torch.inf] * 2
    assert not output.action[3:].any()
    assert beam_search(LOOP, SOURCE, 3, width=1).action.tolist() == [[4, 4, 4]]


def test_eos_finishes_a_hypothesis_only_among_the_best_of_a_step():
    """As in CTranslate2 and transformers. EOS is always the third best token here."""
    policy = TablePolicy(torch.tensor([0.0, 0.0, 0.1, 0.0, 0.5, 0.4]).log())
    assert beam_search(policy, SOURCE, 6, width=2).length.item() == 6
    assert beam_search(policy, SOURCE, 6, width=3, length_penalty=0.0).length.item() == 1


def test_a_policy_that_can_only_end_has_one_hypothesis():
    policy = TablePolicy(torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]).log())
    assert beam_search(policy, SOURCE, 9, width=3, keep=3).length.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": 3}, "keep must be from 1 to width=2, got 3"),
        ({"keep": 0}, "keep must be from 1 to width=2, got 0"),
        ({"length_penalty": math.nan}, "length_penalty must be finite and at least 0, got nan"),
        ({"length_penalty": -1.0}, "length_penalty must be finite and at least 0, got -1.0"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict, message: str):
    with pytest.raises(ValueError, match=f"^{message}$"):
        beam_search(LOOP, SOURCE, 3, width=2, **settings)
