"""The lab's curves with trained students: ``bc`` and ``dagger`` in Tightrope-v0, through the ordinary trainer.

The condition is the lab's: the same chance ε of an error a step on the states of the training, at every horizon.  So every
student learns the right word with 1 − ε and all others with ε together (``labels``), and acts by sampling: ε is a setting, not
an effect of the budget, and a student that trains on its own states keeps falling, and keeps being shown the way back.
The student is a GRU, which can remember that it fell; the number of updates and of episodes a batch is the same for all.
DAgger's β is 0: every rollout is the student's.  Its slope exceeds the tables' where P(wrong | fallen) is not yet ε: of all
falls, the same foot twice is the hardest to notice, and until it is learned it is as final as for a clone.

Text differs from the tables in two things, and both make the regret a little smaller: a wrong word may be EOS, which ends the
episode and with it the cost, or a needless ``climb``, which is no fall.
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
from agents.generation.decoding import allowed_log_probs
from agents.generation.rollout import eval_mode, rollout
from agents.policies.rnn import RNN
from agents.theory.lab import Curve, Slope, horizon_curves
from agents.theory.mdps import Array
from agents.training.saving import Checkpoints
from agents.training.trainer import TrainConfig, train
from textgen_env.data.batching import Batches
from textgen_env.tasks.task import Task
from textgen_env.tasks.tightrope import CLIMB, TightropeOracle, load
from textgen_env.terminal import console
from textgen_env.types import UNK, Policy, shift

Make = Callable[[Task, Policy], Algorithm]
LEARNERS = {"bc": "cloning", "dagger": "DAgger"}  # algorithm → its name in the lab
STEPS, EPISODES = 250, 64  # updates of every student, and episodes of each batch, at every horizon
WIDTH, LR = 64, 1e-2
TEST_TOKENS = 2**16  # sampled positions on which a student is measured


class Measurement(NamedTuple):
    """One trained student on its own sampled episodes; the chance of a wrong word is exact at every sampled state."""

    learner: str  # the algorithm
    horizon: int
    seed: int
    regret: float  # J(π̂), for J(π*) = 0
    error_expert: float  # ε under d^{π*}: what cloning controls
    error_own: float  # ε under d^{π̂}: what DAgger controls
    error_ground: (
        float  # P(wrong | fallen), after every possible fall, as a student may never fall by itself
    )
    ended: float  # share of episodes that EOS ended before the horizon

    @property
    def bound(self) -> float:
        """T²ε under the expert's states for a clone; uTε, u = 2, under its own for DAgger."""
        T = self.horizon
        return T**2 * self.error_expert if self.learner == "bc" else 2 * T * self.error_own


class Episodes(NamedTuple):
    """A student's episodes, ``[B, T]`` each; ``chance`` is its distribution ``[B, T, V]``."""

    action: Tensor
    taken: Tensor  # before the end
    fallen: Tensor  # before the step
    right: Tensor
    chance: Tensor

    @property
    def wrong(self) -> Tensor:
        """The chance of another word than the right one."""
        return 1 - self.chance.gather(-1, self.right[..., None])[..., 0]


def algorithm(name: str, task: Task, policy: Policy, epsilon: float) -> Algorithm:
    """``bc`` on the expert's episodes or ``dagger`` on the student's own; every wrong word has an equal share of ε."""
    if name == "bc":
        V = len(task.vocabulary)
        return BC(
            policy, label_smoothing=epsilon * V / (V - 1)
        )  # smoothing spreads over all V words, the right one too
    return DAgger(policy, expert(task), labels="distribution", beta="constant", rate=0.0, top_k=0)


def expert(task: Task) -> TightropeOracle:
    """The exact oracle of ``task``."""
    oracle = task.oracle and task.oracle()
    assert isinstance(oracle, TightropeOracle)
    return oracle


def label_error(epsilon: float, vocabulary_size: int) -> float:
    """The labels' chance of a wrong word with which a perfect student generates one with ``epsilon``.

    All V - 1 wrong words have an equal share, and a student never generates two of them: PAD and BOS.
    """
    return epsilon * (vocabulary_size - 1) / (vocabulary_size - 3 + 2 * epsilon)


def student(task: Task, make: Make, seed: int, steps: int | None = None) -> Policy:
    """A small GRU, trained by the algorithm ``make(task, policy)`` in the ordinary trainer."""
    steps = steps or STEPS
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        policy: Any = RNN(len(task.vocabulary), "gru", 1, 1, WIDTH // 2, WIDTH, WIDTH, dropout=0.0)
    batches = Batches(task.splits["train"], EPISODES * task.horizon, seed, task.limit)
    validate = validator(policy, task, rows=8, dtype="float32", device="cpu")
    config = TrainConfig(
        steps, LR, warmup=steps // 10, clip=1.0, validations=1, seed=seed
    )  # the last weights are kept
    with tempfile.TemporaryDirectory() as folder, _quiet():
        train(
            make(task, policy),
            policy,
            batches,
            validate,
            config,
            Checkpoints(Path(folder), "student", {}),
        )
    return policy


def sample_episodes(policy: Policy, task: Task, count: int, seed: int) -> Episodes:
    """``count`` sampled episodes, half of the sources each foot or nearly so."""
    split, oracle, T = task.splits["test"], expert(task), task.horizon
    source = torch.from_numpy(
        np.stack([split.source[i % len(split)] for i in range(count)])
    )  # [B, S]
    noise = torch.rand(count, T, generator=torch.Generator().manual_seed(seed))
    episodes = rollout(policy, source, T, noise)
    prefix = shift(episodes.action)
    taken = torch.arange(prefix.shape[1]) < episodes.length[:, None]
    chance = _chances(policy, source, prefix)
    return Episodes(
        episodes.action, taken, oracle.fallen(source, prefix), oracle.optimal_action(source, prefix), chance
    )


def measure(policy: Policy, task: Task, name: str, seed: int) -> Measurement:
    """The student's metrics; the cost of a step is its expectation at the sampled state, which lowers the variance."""
    T = task.horizon
    count = max(1, TEST_TOKENS // T)
    own = sample_episodes(policy, task, count, seed)
    source = torch.from_numpy(np.stack(task.splits["test"].source[:64]))
    shown = expert(task).demonstrate(source, T).action
    right = _chances(policy, source, shift(shown)).gather(-1, shown[..., None])  # [64, T, 1]
    return Measurement(
        name,
        T,
        seed,
        regret=float(own.wrong.masked_fill(own.fallen, 1.0)[own.taken].sum() / count),
        error_expert=float(1 - right.mean()),
        error_own=float(own.wrong[own.taken].sum() / (T * count)),
        error_ground=error_after_fall(policy, task),
        ended=float((own.taken.sum(1) < T).float().mean()),
    )


def error_after_fall(policy: Policy, task: Task) -> float:
    """P(wrong | fallen): the mean chance of a word other than ``climb`` right after a fall.

    The mean is over every fall from the expert's walk: each foot it starts with, each step but the last, each word.
    """
    T, oracle = task.horizon, expert(task)
    source = torch.from_numpy(np.unique(np.stack(task.splits["train"].source), axis=0))
    words, step = torch.arange(UNK, len(task.vocabulary)), torch.arange(T - 1)
    walks = oracle.demonstrate(source, T).action[:, None, None].repeat(1, T - 1, len(words), 1)
    walks[:, step, :, step] = words  # each word at each step; the right one is filtered out below
    prefix = shift(walks.flatten(0, 2))  # [R, T]
    source = source.repeat_interleave(len(prefix) // len(source), 0)
    after = torch.eye(T, dtype=torch.bool)[1:].repeat_interleave(len(words), 0)
    after = after.repeat(len(prefix) // len(after), 1)  # [R, T], the step after the fall
    climbs = _chances(policy, source, prefix, after)[:, CLIMB]
    return float(1 - climbs[oracle.fallen(source, prefix)[after]].mean())


def _chances(policy: Policy, source: Tensor, prefix: Tensor, mask: Tensor | None = None) -> Tensor:
    """The distributions from which the policy samples, ``[B, T, V]`` or ``[N, V]``."""
    with eval_mode(policy):
        return allowed_log_probs(policy(source, prefix, mask)).exp()


def measurements(horizons: list[int], seeds: int, epsilon: float) -> Iterator[Measurement]:
    """Every student in turn, trained and measured."""
    for T in horizons:
        slip = label_error(epsilon, len(load(horizon=T).vocabulary))
        task = load(horizon=T, slip=slip)
        for name in LEARNERS:
            for seed in range(seeds):
                yield measure(
                    student(task, partial(algorithm, name, epsilon=slip), seed), task, name, seed
                )


def curves(measured: list[Measurement], epsilon: float) -> list[Curve]:
    """The students' means (kind "neural"), and the exact curves at their ε and horizons (kind "exact, as neural")."""
    horizons = sorted({row.horizon for row in measured})
    exact = {
        curve.learner: curve
        for curve in horizon_curves(horizons, epsilon)
        if curve.setting == "climb back"
    }
    neural = []
    for name, learner in LEARNERS.items():
        rows = [
            [row for row in measured if (row.learner, row.horizon) == (name, T)] for T in horizons
        ]
        regret = np.array([[row.regret for row in seeds] for seeds in rows])  # [horizons, seeds]
        bound = [float(np.mean([row.bound for row in seeds])) for seeds in rows]
        slope = fit_slope(horizons, regret)
        means = regret.mean(1).tolist()
        neural.append(
            exact[learner]._replace(kind="neural", regret=means, bound=bound, slope=slope)
        )
    return [
        *(exact[learner]._replace(kind="exact, as neural") for learner in LEARNERS.values()),
        *neural,
    ]


def fit_slope(horizons: list[int], regret: Array) -> Slope:
    """Least squares through log ``regret`` ``[horizons, seeds]``; 95 % by Student's t over the spread of the seeds.

    The spread is pooled over the horizons: the interval is about other seeds, not about how straight the curve is.
    """
    y, x = np.log(regret), np.log(horizons) - np.log(horizons).mean()
    count, seeds = regret.shape
    slope = (x @ y.mean(1)) / (x @ x)
    error = np.sqrt(y.var(1, ddof=1).mean() / (seeds * (x @ x)))
    margin = error * stats.t.ppf(0.975, count * (seeds - 1))
    return Slope(float(slope), float(slope - margin), float(slope + margin))


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar for dozens of small trainings."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
