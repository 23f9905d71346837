"""Builds what the trainer needs for a run: the algorithm and the student's checkpoints."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from omegaconf import DictConfig

import agents.algorithms
from agents.algorithms import Algorithm
from agents.discovery import ALGORITHM, build, find_algorithm, keys_of, settings, variants
from agents.estimators.episodes import Reward
from agents.generation.decoding import DECODER_VERSION
from agents.generation.demonstrations import KINDS
from agents.model import checkpoint_header
from agents.runs.config import chosen
from agents.runs.oracles import stand_in
from agents.runs.run import Run
from agents.runs.student import check_start
from agents.training.learning_rate import learning_rate
from agents.training.saving import Checkpoints
from agents.training.writers import find_writer
from textgen_env.envs import rewards
from textgen_env.envs.rewards import Function
from textgen_env.errors import Range, UserError, check_range, unknown
from textgen_env.oracles.texts import TextOracle
from textgen_env.tasks.task import Task
from textgen_env.types import Oracle


def build_algorithm(config: DictConfig, task: Task, student: Any, oracle: Oracle) -> Algorithm:
    """The algorithm of ``config``, given the arguments that its constructor declares."""
    name, values = chosen(config.algorithm)
    function, reward_name = find_algorithm(name).func, config.reward or task.reward
    check_oracle(name, function, reward_name, oracle)
    reward = training_reward(reward_name, task, oracle)
    with keys_of("algorithm", values):
        return make_algorithm(function, values, student, oracle, reward)


def check_oracle(
    name: str, function: Callable[..., Algorithm], reward: str | Function, oracle: Oracle | None
) -> None:
    """UserError if an algorithm or its reward queries an oracle that has only texts.

    Args:
        name: of the algorithm.
        function: its class, whose constructor names what it needs.
        reward: name of a reward, or a function.
        oracle: the teacher.
    """
    if not isinstance(oracle, TextOracle):
        return
    needs = inspect.signature(function).parameters
    if "oracle" in needs:
        methods = ", ".join(text_methods())
        raise oracle.error(
            f"algorithm={name}",
            f"use a method that learns from texts ({methods}), or another teacher",
        )
    if "reward" in needs and reward in rewards.EXPERT_REWARDS:
        others = " or ".join(rewards.METRIC_REWARDS)
        raise oracle.error(f"reward={reward}", f"use reward={others}")


def text_methods() -> list[str]:
    """The names of the algorithms that learn from the teacher's outputs and make no queries."""
    return sorted(
        name
        for name, function in variants(agents.algorithms).items()
        if "oracle" not in inspect.signature(function.func).parameters
        and settings(function, ALGORITHM).get("demonstrations", function.func.demonstrations)  # type: ignore[attr-defined]
        != "references"
    )


def make_algorithm(
    function: Callable[..., Algorithm],
    values: dict[str, Any],
    policy: Any,
    oracle: Oracle | None,
    reward: Reward | None,
) -> Algorithm:
    """Call ``function`` with ``values``, and with the other arguments that it names."""
    algorithm: Algorithm = build(function, values, policy=policy, oracle=oracle, reward=reward)
    algorithm.oracle = oracle  # the trainer counts its queries
    return algorithm


def training_reward(name: str | Function, task: Task, oracle: Oracle | None) -> Reward:
    """The reward of generated training sentences, as algorithms call it."""
    reward = rewards.make(name, task, oracle)
    return partial(rewards.score_trajectories, reward, task, "train")  # type: ignore[return-value]


def check_settings(config: DictConfig, task: Task, student: Any) -> None:
    """UserError for invalid settings, before the teacher's training rather than after it.

    Another oracle stands in for the teacher.
    """
    check_start(config)
    for name in config.logger:
        find_writer(name)
    check_range("evaluate.beam", config.evaluate.beam, Range(1, len(task.vocabulary)))
    if config.evaluate.rows is not None:
        check_range("evaluate.rows", config.evaluate.rows, Range(1, len(task.splits["test"])))
    for phase in (config.teacher.train, config.train):
        learning_rate(phase.schedule, phase.warmup, steps=1)
    algorithm = build_algorithm(config, task, student, stand_in(config, task))
    check_references(algorithm, config, task)
    if algorithm.demonstrations not in KINDS:
        raise unknown("demonstrations", algorithm.demonstrations, KINDS)


def check_references(algorithm: Algorithm, config: DictConfig, task: Task) -> None:
    """UserError if the training needs references and ``task`` has prompts alone."""
    if task.splits["train"].has_references:
        return
    if not config.teacher.path and config.teacher.name != "exact":
        raise UserError(
            "the training split has prompts alone, so no teacher can be trained on it: name one "
            "with teacher.path=RUN or teacher.path=hf:MODEL"
        )
    name, kind = config.algorithm.name, algorithm.demonstrations
    if kind == "best_of_beam" or (kind == "references" and algorithm.uses_targets):
        raise UserError(
            f"algorithm={name} learns from references, but the training split has prompts alone: "
            "use one that learns on the student's outputs, such as opd or gkd with "
            "algorithm.student_fraction=1, or the teacher's outputs, as seqkd does"
        )
    reward = config.reward or task.reward
    if "reward" in inspect.signature(find_algorithm(name).func).parameters and (
        reward in rewards.METRIC_REWARDS
    ):
        raise UserError(
            f"algorithm={name} maximizes {reward}, but the training split has prompts alone: "
            "give a reward without references, such as reward=expert_logprob"
        )


def student_checkpoints(run: Run, demonstrations: str) -> Checkpoints:
    """The student's checkpoints; a resume fails if the settings in their header differ."""
    header = {
        **checkpoint_header(*chosen(run.config.student), run.task),
        "algorithm": run.config.algorithm.name,
        "corpus": run.task.corpus.fingerprint,
        "seed": run.config.seed,
        **({} if demonstrations == "references" else {"decoder": DECODER_VERSION}),
        **({"outputs": hashes} if (hashes := run.teacher.summary.get("sha256")) else {}),
    }
    return Checkpoints(run.folder, "student", header)
