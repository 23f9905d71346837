"""The regret curves of ``lab`` with networks: students trained by BC and DAgger in Tightrope-v0.

As in ``lab``, the error per step on the states of the training is ε at every horizon. The labels
put 1 − ε on the correct token and spread ε over all others, and students act by sampling. So ε is a
setting rather than a result of the training budget, and a student that trains on its own states
keeps falling and keeps getting recovery labels. Students are GRUs, which can remember that they
fell. All get the same number of updates and of episodes per batch. DAgger's β is 0: every rollout
is the student's.

DAgger's slope exceeds the exact one as long as P(wrong | fallen) is above ε. The fall hardest to
detect is stepping twice with the same foot; until the student has learned to detect it, it cannot
recover from it.

The text environment differs from the tabular MDP in two ways, and both lower the regret a little. A
wrong token may be EOS, which ends the episode and its cost, or an unnecessary ``climb``, which is
not a fall.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy
import torch
from torch import Tensor

from agents.algorithms import Algorithm
from agents.algorithms.bc import BC
from agents.algorithms.dagger import DAgger
from agents.evaluation.validation import validator
from agents.generation.decoding import allowed_log_probs
from agents.generation.rollout import eval_mode, rollout
from agents.policies.rnn import RNNPolicy
from agents.theory.lab import RegretCurve, Slope, horizon_curves
from agents.theory.mdps import Array
from agents.training.config import TrainConfig
from agents.training.saving import Checkpoints
from agents.training.trainer import train_policy
from textgen_env.data.batching import Batches
from textgen_env.tasks.task import Task
from textgen_env.tasks.tightrope import CLIMB, TightropeOracle, load
from textgen_env.terminal import console
from textgen_env.types import UNK, Policy, shift

AlgorithmFactory = Callable[[Task, Policy], Algorithm]
LEARNERS = {"bc": "cloning", "dagger": "DAgger"}  # algorithm → learner of lab.RegretCurve
STEPS, EPISODES = 250, 64  # updates per student and episodes per batch, at every horizon
WIDTH, LR = 64, 1e-2
TEST_TOKENS = 2**16  # tokens sampled to evaluate a student


class StudentMetrics(NamedTuple):
    """Metrics of a trained student on sampled episodes; its error probabilities are exact."""

    learner: str  # the algorithm
    horizon: int
    seed: int
    regret: float  # J(π̂), as J(π*) = 0
    error_expert: float  # ε under d^{π*}: what behavioral cloning controls
    error_own: float  # ε under d^{π̂}: what DAgger controls
    error_fallen: float  # P(wrong | fallen), over all possible falls
    ended_early: float  # share of episodes that ended by EOS before the horizon

    @property
    def bound(self) -> float:
        """For BC T²ε with ε on the expert's states; for DAgger uTε, u = 2, with ε on its own."""
        T = self.horizon
        return T**2 * self.error_expert if self.learner == "bc" else 2 * T * self.error_own


class SampledEpisodes(NamedTuple):
    """Episodes sampled from a student."""

    action: Tensor  # [B, T]
    mask: Tensor  # [B, T], steps up to and including EOS
    fallen: Tensor  # [B, T], whether the state before the step is fallen
    expert_action: Tensor  # [B, T]
    probs: Tensor  # [B, T, V], the student's distribution

    @property
    def error_probs(self) -> Tensor:
        """The student's probability of an incorrect token, ``[B, T]``."""
        return 1 - self.probs.gather(-1, self.expert_action[..., None])[..., 0]


def tightrope_algorithm(name: str, task: Task, policy: Policy, label_epsilon: float) -> Algorithm:
    """``bc`` on the expert's episodes, or ``dagger`` on the student's own.

    Args:
        name: "bc" or "dagger".
        task: Tightrope-v0.
        policy: The student.
        label_epsilon: Probability that the labels spread evenly over the incorrect tokens.
    """
    if name == "bc":
        V = len(task.vocabulary)  # smoothing spreads over all V tokens, including the correct one
        return BC(policy, label_smoothing=label_epsilon * V / (V - 1))
    oracle = exact_oracle(task)
    return DAgger(policy, oracle, labels="distribution", beta="constant", rate=0.0, top_k=0)


def exact_oracle(task: Task) -> TightropeOracle:
    """The exact oracle of ``task``."""
    oracle = task.oracle and task.oracle()
    assert isinstance(oracle, TightropeOracle)
    return oracle


def label_error(epsilon: float, vocabulary_size: int) -> float:
    """The label noise at which a perfectly fitted student errs with probability ``epsilon``.

    The noise is spread evenly over V - 1 incorrect tokens, two of which a student never generates:
    PAD and BOS.
    """
    return epsilon * (vocabulary_size - 1) / (vocabulary_size - 3 + 2 * epsilon)


def train_student(
    task: Task, make_algorithm: AlgorithmFactory, seed: int, steps: int | None = None
) -> Policy:
    """Train a small GRU; the final weights are used, without model selection.

    Args:
        task: Tightrope-v0.
        make_algorithm: Called with the task and the policy.
        seed: Seed of the initial weights and of training.
        steps: Number of updates; None: ``STEPS``.
    """
    steps = steps or STEPS
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        policy: Any = RNNPolicy(
            len(task.vocabulary), "gru", 1, 1, WIDTH // 2, WIDTH, WIDTH, dropout=0.0
        )
    batches = Batches(task.splits["train"], EPISODES * task.horizon, seed, task.limit)
    validate = validator(policy, task, rows=8, dtype="float32", device="cpu")
    config = TrainConfig(steps, LR, warmup=steps // 10, clip=1.0, validations=1, seed=seed)
    with tempfile.TemporaryDirectory() as folder, _no_progress_bar():
        checkpoints = Checkpoints(Path(folder), "student", {})
        train_policy(make_algorithm(task, policy), policy, batches, validate, config, checkpoints)
    return policy


def sample_episodes(policy: Policy, task: Task, count: int, seed: int) -> SampledEpisodes:
    """Sample ``count`` episodes; about half of the sources start with each foot."""
    split, oracle, T = task.splits["test"], exact_oracle(task), task.horizon
    rows = [split.source[i % len(split)] for i in range(count)]
    source = torch.from_numpy(np.stack(rows))  # [B, S]
    noise = torch.rand(count, T, generator=torch.Generator().manual_seed(seed))
    episodes = rollout(policy, source, T, noise)
    prefix = shift(episodes.action)
    return SampledEpisodes(
        action=episodes.action,
        mask=torch.arange(prefix.shape[1]) < episodes.length[:, None],
        fallen=oracle.fallen(source, prefix),
        expert_action=oracle.optimal_action(source, prefix),
        probs=_sampling_probs(policy, source, prefix),
    )


def evaluate_student(policy: Policy, task: Task, name: str, seed: int) -> StudentMetrics:
    """Sample episodes and compute the student's metrics.

    The cost of a step is its expectation at the sampled state, which lowers the variance.

    Args:
        policy: The student.
        task: Tightrope-v0.
        name: The algorithm that trained it.
        seed: Sampling seed.
    """
    T = task.horizon
    count = max(1, TEST_TOKENS // T)
    sampled = sample_episodes(policy, task, count, seed)
    mask, error = sampled.mask, sampled.error_probs
    source = torch.from_numpy(np.stack(task.splits["test"].source[:64]))
    demonstration = exact_oracle(task).demonstrate(source, T).action
    expert_probs = _sampling_probs(policy, source, shift(demonstration))  # [64, T, V]
    correct = expert_probs.gather(-1, demonstration[..., None])  # [64, T, 1]
    return StudentMetrics(
        name,
        T,
        seed,
        regret=float(error.masked_fill(sampled.fallen, 1.0)[mask].sum() / count),
        error_expert=float(1 - correct.mean()),
        error_own=float(error[mask].sum() / (T * count)),
        error_fallen=error_after_fall(policy, task),
        ended_early=float((mask.sum(1) < T).float().mean()),
    )


def error_after_fall(policy: Policy, task: Task) -> float:
    """P(wrong | fallen): the mean probability of a token other than ``climb`` right after a fall.

    The mean is over all single-token deviations from the expert's trajectories, for both first feet
    and at all steps but the last, because a student may never fall on its own.
    """
    T, oracle = task.horizon, exact_oracle(task)
    source = torch.from_numpy(np.unique(np.stack(task.splits["train"].source), axis=0))
    tokens, step = torch.arange(UNK, len(task.vocabulary)), torch.arange(T - 1)
    action = oracle.demonstrate(source, T).action[:, None, None].repeat(1, T - 1, len(tokens), 1)
    action[:, step, :, step] = tokens  # includes the correct token, which is filtered out below
    prefix = shift(action.flatten(0, 2))  # [R, T]
    source = source.repeat_interleave(len(prefix) // len(source), 0)
    next_step = torch.eye(T, dtype=torch.bool)[1:].repeat_interleave(len(tokens), 0)
    next_step = next_step.repeat(len(prefix) // len(next_step), 1)  # [R, T], after the deviation
    climb_probs = _sampling_probs(policy, source, prefix, next_step)[:, CLIMB]
    return float(1 - climb_probs[oracle.fallen(source, prefix)[next_step]].mean())


def _sampling_probs(
    policy: Policy, source: Tensor, prefix: Tensor, mask: Tensor | None = None
) -> Tensor:
    """The distributions from which the policy samples, ``[B, T, V]`` or ``[N, V]``.

    They are not computed in chunks, as Tightrope-v0 has few tokens.
    """
    with eval_mode(policy):
        return allowed_log_probs(policy(source, prefix, mask)).exp()


def train_and_evaluate(horizons: list[int], seeds: int, epsilon: float) -> Iterator[StudentMetrics]:
    """Train and evaluate a student per horizon, algorithm and seed."""
    for T in horizons:
        label_epsilon = label_error(epsilon, len(load(horizon=T).vocabulary))
        task = load(horizon=T, slip=label_epsilon)
        for name in LEARNERS:
            make_algorithm = partial(tightrope_algorithm, name, label_epsilon=label_epsilon)
            for seed in range(seeds):
                policy = train_student(task, make_algorithm, seed)
                yield evaluate_student(policy, task, name, seed)


def student_curves(students: list[StudentMetrics], epsilon: float) -> list[RegretCurve]:
    """The students' mean regret ("neural") and exact curves at the same ε ("exact, as neural")."""
    horizons = sorted({student.horizon for student in students})
    exact = {
        curve.learner: curve._replace(kind="exact, as neural")
        for curve in horizon_curves(horizons, epsilon)
        if curve.setting == "recoverable"
    }
    neural = []
    for name, learner in LEARNERS.items():
        by_horizon = [
            [student for student in students if (student.learner, student.horizon) == (name, T)]
            for T in horizons
        ]
        regret = np.array([[student.regret for student in seeds] for seeds in by_horizon])
        bound = [float(np.mean([student.bound for student in seeds])) for seeds in by_horizon]
        slope = fit_slope_over_seeds(horizons, regret)
        curve = exact[learner]._replace(kind="neural", slope=slope)
        neural.append(curve._replace(regret=regret.mean(1).tolist(), bound=bound))
    return [*(exact[learner] for learner in LEARNERS.values()), *neural]


def fit_slope_over_seeds(horizons: list[int], regret: Array) -> Slope:
    """Log-log least squares through ``regret`` ``[horizons, seeds]``, with a 95 % t-interval.

    The variance is that between seeds, pooled over the horizons, so the interval does not include a
    lack of fit.
    """
    y, x = np.log(regret), np.log(horizons) - np.log(horizons).mean()
    count, seeds = regret.shape
    slope = (x @ y.mean(1)) / (x @ x)
    error = np.sqrt(y.var(1, ddof=1).mean() / (seeds * (x @ x)))
    margin = error * scipy.stats.t.ppf(0.975, count * (seeds - 1))
    return Slope(float(slope), float(slope - margin), float(slope + margin))


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Hide the progress bars of many short training runs."""
    was_quiet, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = was_quiet
