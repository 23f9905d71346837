"""Decoders against the definition: exhaustive search, step-by-step scoring, exact frequencies."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from agents.evaluation import outputs as evaluation
from agents.generation import decoding
from agents.generation.beam import beam_search
from agents.generation.decoding import greedy, sample
from agents.policies.transformer import Transformer
from textgen_env.randomness import uniform
from textgen_env.types import BOS, EOS, PAD, Policy, Trajectories, shift

V = 9


@pytest.fixture(scope="module")
def policy() -> Transformer:
    """Random, but with the weights to tell its rows apart and to end some of them early."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(18)
        policy = Transformer(V, layers=1, width=16, heads=2, ffn=16).eval()
        policy.decoder_norm.weight.mul_(3)
        policy.decoder_norm.bias.copy_(4 * policy.target_embedding.weight[EOS])
        for weight in policy.decoder.parameters():
            weight.mul_(3 if weight.dim() == 2 else 1)
    return policy


@pytest.fixture(scope="module")
def source() -> Tensor:
    source = torch.randint(4, V, (12, 6), generator=torch.Generator().manual_seed(1))
    for row, length in enumerate([6, 5, 4, 3, 2, 1] * 2):
        source[row, length - 1], source[row, length:] = EOS, PAD
    return source


@dataclass(frozen=True)
class Row:
    """The state of a Table policy: how many rows."""

    rows: int

    def select(self, index: Tensor) -> Row:
        return Row(len(index))


@dataclass(frozen=True)
class Table:
    """A policy that reads nothing: the same logits ``[V]`` at every step."""

    logits: Tensor

    @property
    def vocabulary_size(self) -> int:
        return len(self.logits)

    def __call__(self, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
        logits = self.logits.expand(*prefix.shape, -1)
        return logits if mask is None else logits[mask]

    def start(self, source: Tensor, steps: int) -> Row:
        return Row(len(source))

    def step(self, token: Tensor, state: Row) -> tuple[Tensor, Row]:
        return self.logits.expand(state.rows, -1), state


def rescored(policy: Policy, source: Tensor, found: Trajectories) -> Tensor:
    """The score by teacher forcing."""
    with torch.no_grad():
        log_probs = policy(source, shift(found.action)).log_softmax(-1)
    gain = log_probs.gather(2, found.action[:, :, None]).squeeze(2)
    inside = torch.arange(found.action.shape[1]) < found.length[:, None]
    return gain.where(inside, 0.0).sum(1)


def well_formed(found: Trajectories, limit: Tensor) -> None:
    inside = torch.arange(found.action.shape[1]) < found.length[:, None]
    assert not torch.isin(found.action[inside], torch.tensor([PAD, BOS])).any()
    assert (found.action[~inside] == PAD).all()
    last = found.action.gather(1, found.length[:, None] - 1).squeeze(1)
    assert ((found.length <= limit) & ((last == EOS) | (found.length == limit))).all()
    assert ((found.action == EOS).sum(1) == (last == EOS)).all()


def noise(rows: int, steps: int = 20) -> Tensor:
    return uniform((0, 0), "test", torch.arange(rows), steps)


DECODERS = {
    "greedy": greedy,
    "sample": lambda policy, source, limit: sample(policy, source, limit, noise(len(source))),
    "top_k": lambda policy, source, limit: sample(
        policy, source, limit, noise(len(source)), top_k=3
    ),
    "beam": lambda policy, source, limit: beam_search(policy, source, limit, width=4),
}
decoders = pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)


@decoders
def test_what_is_generated_is_well_formed_and_scored_as_teacher_forcing_scores_it(
    decode, policy: Transformer, source: Tensor
):
    limit = torch.tensor([1, 2, 3, 4, 20, 20] * 2)
    for steps in (limit, 15):
        found = decode(policy, source, steps)
        well_formed(found, torch.as_tensor(steps).expand(12))
        torch.testing.assert_close(
            found.score, rescored(policy, source, found), rtol=1e-5, atol=1e-5
        )
    assert len(found.length.unique()) > 2  # the fixture exercises the dropping of finished rows


@decoders
def test_a_row_does_not_depend_on_its_batch(decode, policy: Transformer, source: Tensor):
    together = decode(policy, source, 15)
    for rows in (1, 5):
        alone = decode(policy, source[:rows], 15)
        width = alone.action.shape[1]
        assert torch.equal(alone.action, together.action[:rows, :width])
        assert torch.equal(alone.length, together.length[:rows])


@decoders
def test_a_policy_that_never_ends_is_cut_at_its_limits(decode, source: Tensor):
    endless = Table(torch.tensor([9.0, 9.0, -torch.inf, 0.0, 1.0]))
    assert decode(endless, source, 7).length.tolist() == [7] * 12
    limit = torch.arange(1, 13)
    assert torch.equal(decode(endless, source, limit).length, limit)


@decoders
def test_no_rows_and_no_steps(decode, policy: Transformer, source: Tensor):
    assert decode(policy, source[:0], 5).action.shape[0] == 0
    with pytest.raises(ValueError, match="at least 1"):
        decode(policy, source, 0)


def test_greedy_is_the_argmax_step_by_step(policy: Transformer, source: Tensor):
    found = greedy(policy, source, 10)
    for row in range(12):
        prefix = [BOS]
        while len(prefix) <= 10 and prefix[-1] != EOS:
            with torch.no_grad():
                logits = policy(source[row : row + 1], torch.tensor([prefix]))[0, -1]
            logits[[PAD, BOS]] = -torch.inf
            prefix.append(int(logits.argmax()))
        assert found.action[row, : found.length[row]].tolist() == prefix[1:]


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
def test_beam_of_one_is_greedy(policy: Transformer, source: Tensor, length_penalty: float):
    one, best = (
        beam_search(policy, source, 12, width=1, length_penalty=length_penalty),
        greedy(policy, source, 12),
    )
    assert torch.equal(one.action, best.action)
    assert torch.equal(one.length, best.length)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0])
def test_a_beam_that_holds_everything_finds_the_best_that_end(
    policy: Transformer, source: Tensor, length_penalty: float
):
    horizon, width = 3, V**3
    bodies = [
        body for n in range(horizon) for body in itertools.product(range(EOS + 1, V), repeat=n)
    ]
    sequences = [[*body, EOS] for body in bodies]
    length = torch.tensor([len(sequence) for sequence in sequences])
    action = pad_sequence([torch.tensor(sequence) for sequence in sequences], batch_first=True)
    candidates = Trajectories(action, length, torch.zeros(len(action)))
    first = beam_search(policy, source, horizon, width, length_penalty)
    several = beam_search(policy, source, horizon, width, length_penalty, keep=4)
    for row in range(len(source)):
        score = rescored(policy, source[row].expand(len(action), -1), candidates)
        best = (score / length**length_penalty).topk(4).indices.tolist()
        assert first.action[row, : first.length[row]].tolist() == sequences[best[0]]
        for place, index in enumerate(best, start=4 * row):
            assert several.action[place, : several.length[place]].tolist() == sequences[index]
            torch.testing.assert_close(several.score[place], score[index], rtol=1e-5, atol=1e-5)


def by_the_rule(
    policy: Policy, source: Tensor, limit: int, width: int, length_penalty: float
) -> list[list[int]]:
    """The rule of ``beam`` for one source ``[S]``, in lists; at most ``width`` hypotheses, best first."""
    live, finished = [(0.0, [])], []
    for _ in range(limit):
        candidates = []
        for score, tokens in live:
            with torch.no_grad():
                log_probs = policy(source[None], torch.tensor([[BOS, *tokens]])).log_softmax(-1)[
                    0, -1
                ]
            candidates += [(score + log_probs[v].item(), [*tokens, v]) for v in range(EOS, V)]
        candidates = sorted(candidates, reverse=True)[: 2 * width]
        finished += [(score, tokens) for score, tokens in candidates[:width] if tokens[-1] == EOS]
        live = [(score, tokens) for score, tokens in candidates if tokens[-1] != EOS][:width]
        if len(finished) >= width:
            break
    ranked = sorted(
        finished or live, key=lambda each: each[0] / len(each[1]) ** length_penalty, reverse=True
    )
    return [tokens for _, tokens in ranked[:width]]


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_beam_search_is_its_rule_with_a_limit_for_each_row(
    policy: Transformer, source: Tensor, width: int, length_penalty: float
):
    limit = torch.tensor([1, 2, 3, 8, 9, 9] * 2)
    found = beam_search(policy, source, limit, width, length_penalty, keep=width)
    for row in range(len(source)):
        expected = by_the_rule(policy, source[row], int(limit[row]), width, length_penalty)
        places = range(width * row, width * (row + 1))
        hypotheses = [found.action[place, : found.length[place]].tolist() for place in places]
        assert hypotheses == expected + [[]] * (width - len(expected))
    ended = (found.action == EOS).any(1)
    assert ended.any()
    assert width > 2 or (found.length[~ended] > 0).any(), "hypotheses cut at the limit must occur"


LOOP = Table(torch.tensor([0.0, 0.0, 0.3, 0.0, 0.7]).log())  # EOS, or token 4 again
LEFT = torch.tensor([[EOS]])


@pytest.mark.parametrize("width", [2, 3, 4, 5])
def test_a_row_stops_when_as_many_have_ended_as_the_beam_is_wide(width: int):
    """One hypothesis ends at every step, and each is better per token than the one before."""
    longest_first, shortest_first = (
        beam_search(LOOP, LEFT, 50, width, power, width) for power in (1.0, 0.0)
    )
    assert longest_first.length.tolist() == [*range(width, 0, -1)]
    assert shortest_first.length.tolist() == [*range(1, width + 1)]
    lengths = longest_first.length
    torch.testing.assert_close(longest_first.score, (lengths - 1) * math.log(0.7) + math.log(0.3))


def test_a_loop_loses_against_what_ends_however_likely_it_is():
    found = beam_search(LOOP, LEFT, 3, width=5, keep=5)
    assert found.length.tolist() == [3, 2, 1, 0, 0]  # 4 4 4, cut at 3, has the best mean of all
    assert found.score[3:].tolist() == [-torch.inf] * 2
    assert not found.action[3:].any()
    assert beam_search(LOOP, LEFT, 3, width=1).action.tolist() == [[4, 4, 4]], (
        "nothing has ended: the cut one counts"
    )


def test_an_end_counts_only_among_the_best_of_a_step():
    """EOS is always the third best of a step; so it is in CTranslate2 and transformers."""
    thirds = Table(torch.tensor([0.0, 0.0, 0.1, 0.0, 0.5, 0.4]).log())
    assert beam_search(thirds, LEFT, 6, width=2).length.item() == 6
    assert beam_search(thirds, LEFT, 6, width=3, length_penalty=0.0).length.item() == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": 3}, "keep must be from 1 to width=2, got 3"),
        ({"keep": 0}, "keep must be from 1 to width=2, got 0"),
        ({"length_penalty": math.nan}, "length_penalty must be finite and at least 0, got nan"),
        ({"length_penalty": -1.0}, "length_penalty must be finite and at least 0, got -1.0"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings: dict, message: str):
    with pytest.raises(ValueError, match=f"^{message}$"):
        beam_search(LOOP, LEFT, 3, width=2, **settings)


def test_a_policy_that_can_only_end_has_one_hypothesis():
    only = Table(torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]).log())
    assert beam_search(only, LEFT, 9, width=3, keep=3).length.tolist() == [1, 0, 0]


def test_top_1_is_greedy(policy: Transformer, source: Tensor):
    drawn = sample(policy, source, 12, noise(len(source)), top_k=1)
    assert torch.equal(drawn.action, greedy(policy, source, 12).action)


@decoders
def test_a_row_generates_the_same_when_others_have_left(decode, source: Tensor, monkeypatch):
    policy, limits = (
        Table(torch.zeros(V)),
        torch.arange(1, 13),
    )  # rows that end everywhere, and so leave one by one
    written = []
    for share in (0.0, 1.0):  # of the batch that must have ended before any row leaves it: all, one
        monkeypatch.setattr(decoding, "COMPACT_BELOW", share)
        written.append(decode(policy, source, limits).action)
    assert torch.equal(*written)


@pytest.mark.parametrize("top_k", [0, 3])
def test_samples_have_the_policys_frequencies(top_k: int):
    logits = torch.tensor([2.0, 2.0, -1.0, 0.0, 0.5, 1.0, 1.5, -torch.inf])
    rows = 20_000
    drawn = sample(Table(logits), torch.full((rows, 1), EOS), 1, noise(rows, 1), top_k)
    probability = logits.clone()
    probability[[PAD, BOS]] = -torch.inf
    if top_k:
        probability[probability < probability.topk(top_k).values[-1]] = -torch.inf
    probability = probability.softmax(0)
    count = torch.bincount(drawn.action[:, 0], minlength=8).double()
    possible = probability > 0
    assert not count[~possible].any()
    expected = rows * probability[possible].double()
    chi_square = ((count[possible] - expected) ** 2 / expected).sum()
    freedom = int(possible.sum()) - 1
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


def test_outputs_of_another_search_have_another_name(monkeypatch):
    names = [
        evaluation.outputs_filename(10, width, power) for width in (1, 5) for power in (0.0, 1.0)
    ]
    assert names[0] == names[1], "greedy search has no length penalty"
    monkeypatch.setattr(evaluation, "DECODER_VERSION", evaluation.DECODER_VERSION + 1)
    assert len({*names, evaluation.outputs_filename(10, 1, 0.0)}) == 4
