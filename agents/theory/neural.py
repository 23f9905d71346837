"""The laboratory's curves with trained students: ``bc`` and ``dagger`` in Tightrope-v0, through the ordinary trainer.

The condition is the laboratory's: the same chance ε of an error a step on the states that a student was trained on, at every
horizon.  So every student learns the right word with 1 − ε and all others with ε together (``labels``), and acts by sampling:
ε is a setting and no accident of the budget, and whoever trains on its own states goes on falling, and being told the way back.
The student is a GRU, which can carry "fallen" along; none is trained longer, or on fewer episodes a batch, than any other.
DAgger's β is 0: all roll-ins are the student's own.  Its slope exceeds the tables' where P(wrong | fallen) is not yet ε: of
all falls, a foot set down twice is the hardest to notice, and until that is learnt it is as final as for a clone.

Text differs from the tables in two things, which both make the regret a little smaller: a wrong word may be EOS, which ends
the episode and with it the cost, or a needless ``climb``, which is no fall.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from agents.algorithms import Algorithm
from agents.algorithms.bc import BC
from agents.algorithms.dagger import DAgger
from agents.evaluation.validation import validator
from agents.generation.decoding import sample, writable
from agents.generation.rollout import acting
from agents.policies.rnn import RNN
from agents.theory.lab import Curve, Slope, horizon_curves
from agents.theory.mdps import Array
from agents.training.trainer import train
from textgen_env.data.batching import Batches
from textgen_env.tasks.task import Task
from textgen_env.tasks.tightrope import CLIMB, TightropeOracle, load
from textgen_env.terminal import console
from textgen_env.types import UNK, Policy, shift

Make = Callable[[Task, Policy, torch.Generator], Algorithm]
LEARNERS = {"bc": "cloning", "dagger": "DAgger"}  # algorithm → the laboratory's name
STEPS, EPISODES = 250, 64  # updates of every student, and rows of each of its batches, whatever the horizon
WIDTH, LR = 64, 1e-2
TEST_TOKENS = 2**16  # sampled positions by which a student is judged


class Walk(NamedTuple):
    """One trained student over its own sampled episodes; the chance of a wrong word is exact at every state sampled."""

    learner: str  # the algorithm
    horizon: int
    seed: int
    regret: float  # J(π̂), for J(π*) = 0
    error_expert: float  # ε under d^{π*}: what cloning controls
    error_own: float  # ε under d^{π̂}: what DAgger controls
    error_ground: float  # P(wrong | fallen), after every fall that there is: a student may never fall by itself
    ended: float  # share of episodes that EOS ended before the horizon

    @property
    def bound(self) -> float:
        """T²ε under the expert's states for a clone; uTε, u = 2, under its own for DAgger."""
        T = self.horizon
        return T**2 * self.error_expert if self.learner == "bc" else 2 * T * self.error_own


class Episodes(NamedTuple):
    """What a student did, ``[B, T]`` each: action · taken, before the end · fallen, before the step · chance ``[B, T, V]``."""

    action: Tensor
    taken: Tensor
    fallen: Tensor
    right: Tensor
    chance: Tensor

    @property
    def wrong(self) -> Tensor:
        """The chance of another word than the right one."""
        return 1 - self.chance.gather(-1, self.right[..., None])[..., 0]


def algorithm(name: str, task: Task, policy: Policy, generator: torch.Generator, epsilon: float) -> Algorithm:
    """``bc`` on the expert's episodes or ``dagger`` on the student's own; every wrong word has an equal share of ε."""
    assert task.oracle is not None
    if name == "bc":
        V = len(task.vocabulary)
        return BC(policy, label_smoothing=epsilon * V / (V - 1))  # what is spread over all words reaches the right one, too
    return DAgger(policy, task.oracle(), generator, labels="distribution", beta="constant", rate=0.0, top_k=0)


def told(epsilon: float, vocabulary_size: int) -> float:
    """With which chance of a wrong word the labels must be for a student that has learned them to write one with ``epsilon``.

    All V - 1 wrong words have an equal share, and no student writes two of them: PAD and BOS.
    """
    return epsilon * (vocabulary_size - 1) / (vocabulary_size - 3 + 2 * epsilon)


def student(task: Task, make: Make, seed: int, steps: int | None = None) -> Policy:
    """A small GRU, trained by the algorithm that ``make(task, policy, generator)`` gives in the one trainer there is."""
    steps = steps or STEPS
    coins = torch.Generator().manual_seed(2 * seed + 1)
    with torch.random.fork_rng():
        torch.manual_seed(2 * seed)
        policy: Any = RNN(len(task.vocabulary), "gru", 1, 1, WIDTH // 2, WIDTH, WIDTH, dropout=0.0)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        train(
            make(task, policy, coins),
            policy,
            Batches(task.splits["train"], EPISODES * task.horizon, seed, task.limit),
            validator(policy, task, rows=8, amp="float32", device="cpu"),
            folder=Path(folder),
            phase="student",
            header={},
            generators={"algorithm": coins},
            steps=steps,
            lr=LR,
            schedule="linear",
            warmup=steps // 10,
            clip=1.0,
            validations=1,  # none is chosen: the last weights are the student
            amp="float32",
            device="cpu",
            resume=False,
        )
    return policy


def walk(policy: Policy, task: Task, episodes: int, generator: torch.Generator) -> Episodes:
    """Sample ``episodes``, half of the sources each foot or nearly so."""
    split, oracle = task.splits["test"], task.oracle and task.oracle()
    assert isinstance(oracle, TightropeOracle)
    source = torch.from_numpy(np.stack([split.source[i % len(split)] for i in range(episodes)]))  # [B, S]
    with acting(policy):
        written = sample(policy, source, task.horizon, generator, scored=False)
        prefix = shift(written.action)
        chance = writable(policy(source, prefix)).exp()
    taken = torch.arange(prefix.shape[1]) < written.length[:, None]
    return Episodes(written.action, taken, oracle.fallen(source, prefix), oracle.right(source, prefix), chance)


def measure(policy: Policy, task: Task, name: str, seed: int) -> Walk:
    """The student's figures; the cost of a step is its expectation at the state sampled, which narrows the noise."""
    T, split, oracle = task.horizon, task.splits["test"], task.oracle and task.oracle()
    assert oracle is not None
    seen = walk(policy, task, max(1, TEST_TOKENS // T), torch.Generator().manual_seed(seed))
    wrong, count = seen.wrong, len(seen.action)
    source = torch.from_numpy(np.stack(split.source[:64]))
    shown = oracle.demonstrate(source, T).action
    with acting(policy):
        chance = writable(policy(source, shift(shown))).exp().gather(-1, shown[..., None])  # [64, T, 1]
    return Walk(
        name,
        T,
        seed,
        regret=float(wrong.masked_fill(seen.fallen, 1.0)[seen.taken].sum() / count),
        error_expert=float(1 - chance.mean()),
        error_own=float(wrong[seen.taken].sum() / (T * count)),
        error_ground=error_after_fall(policy, task),
        ended=float((seen.taken.sum(1) < T).float().mean()),
    )


def error_after_fall(policy: Policy, task: Task) -> float:
    """P(wrong | fallen): the mean chance of a word other than ``climb`` right after a fall.

    The mean is over every fall of the expert's walk: each foot it starts with, each step but the last, each word.
    """
    T, oracle = task.horizon, task.oracle and task.oracle()
    assert isinstance(oracle, TightropeOracle)
    source = torch.from_numpy(np.unique(np.stack(task.splits["train"].source), axis=0))
    words, step = torch.arange(UNK, len(task.vocabulary)), torch.arange(T - 1)
    walks = oracle.demonstrate(source, T).action[:, None, None].repeat(1, T - 1, len(words), 1)
    walks[:, step, :, step] = words  # one other word in each of them, or the right one
    prefix = shift(walks.flatten(0, 2))  # [R, T]
    source = source.repeat_interleave(len(prefix) // len(source), 0)
    after = torch.eye(T, dtype=torch.bool)[1:].repeat_interleave(len(words), 0)
    after = after.repeat(len(prefix) // len(after), 1)  # [R, T], the step after the fall
    fallen = oracle.fallen(source, prefix)[after]
    with acting(policy):
        climbs = writable(policy(source, prefix, after)).exp()[:, CLIMB]
    return float(1 - climbs[fallen].mean())


def walks(horizons: list[int], seeds: int, epsilon: float) -> Iterator[Walk]:
    """Every student in turn, trained and measured."""
    for T in horizons:
        label = told(epsilon, len(load(horizon=T).vocabulary))
        task = load(horizon=T, slip=label)
        for name in LEARNERS:
            for seed in range(seeds):
                yield measure(student(task, partial(algorithm, name, epsilon=label), seed), task, name, seed)


def curves(found: list[Walk], epsilon: float) -> list[Curve]:
    """The students' means (kind "neural"), and the exact curves at their ε and horizons (kind "exact, as neural")."""
    horizons = sorted({walk.horizon for walk in found})
    made = [
        curve._replace(kind="exact, as neural")
        for curve in horizon_curves(horizons, epsilon)
        if curve.setting == "climb back" and curve.learner in LEARNERS.values()
    ]
    for exact, name in zip(list(made), LEARNERS, strict=True):
        grid = [[walk for walk in found if (walk.learner, walk.horizon) == (name, T)] for T in horizons]
        regret = np.array([[walk.regret for walk in row] for row in grid])  # [horizons, seeds]
        bound = [float(np.mean([walk.bound for walk in row])) for row in grid]
        slope = fitted(horizons, regret)
        made.append(exact._replace(kind="neural", regret=regret.mean(1).tolist(), bound=bound, slope=slope))
    return made


def fitted(horizons: list[int], regret: Array) -> Slope:
    """Least squares through log ``regret`` ``[horizons, seeds]``; 95 % by Student's t over the spread of the seeds.

    The spread is pooled over the horizons: the interval says what other seeds would give, not how straight the curve is.
    """
    y, x = np.log(regret), np.log(horizons) - np.log(horizons).mean()
    count, seeds = regret.shape
    slope = (x @ y.mean(1)) / (x @ x)
    freedom = count * (seeds - 1)
    error = np.sqrt(y.var(1, ddof=1).mean() / (seeds * (x @ x)))
    reach = error * stats.t.ppf(0.975, freedom)
    return Slope(float(slope), float(slope - reach), float(slope + reach))


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar for each of dozens of small trainings."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
