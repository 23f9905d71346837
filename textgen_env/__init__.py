"""Text generation as a gymnasium MDP whose expert is the teacher.  Importing this registers every task's id.

    gymnasium.make("textgen_env:Copy-v0", expert=True)
    gymnasium.make_vec("textgen_env:Copy-v0", num_envs=64)

Keywords are the task's (``load``'s: ``symbols=5``) and the environment's (``TextGenEnv``'s: ``reward="bleu"``); ``task=``
shares a Task that is loaded already.  gymnasium 0.29 wants them apart to choose the native vector environment:
``make_vec(id, num_envs=64, vectorization_mode="custom", vector_kwargs={"symbols": 5})``.

The modules terminal, errors, profiler and types come first; then the folders data, metrics, oracles, tasks and envs,
each of which imports only from what stands before it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium

from textgen_env.data.limit import Limit
from textgen_env.data.split import Split
from textgen_env.envs.env import TIME_LIMIT, TextGenEnv
from textgen_env.envs.vector import TextGenVectorEnv
from textgen_env.envs.wrappers import FlatObservation
from textgen_env.errors import UserError, unknown
from textgen_env.oracles.cached import CachedOracle
from textgen_env.oracles.noisy import NoisyOracle
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.oracles.references import ReferenceOracle
from textgen_env.tasks import tasks as all_tasks
from textgen_env.tasks.task import Task
from textgen_env.types import BOS, EOS, PAD, UNK, Batch, Oracle, Trajectories

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "UNK",
    "Batch",
    "CachedOracle",
    "FlatObservation",
    "Limit",
    "NoisyOracle",
    "Oracle",
    "PolicyOracle",
    "ReferenceOracle",
    "Split",
    "Task",
    "TextGenEnv",
    "TextGenVectorEnv",
    "Trajectories",
    "UserError",
    "make_env",
    "make_vector_env",
]


def make_env(task_id: str, task: Task | None = None, **options: Any) -> TextGenEnv:
    """The environment of the task with that id; gymnasium's entry point."""
    task, rest = _load(task_id, task, options, TextGenEnv)
    return TextGenEnv(task, **rest)


def make_vector_env(
    task_id: str, num_envs: int = 1, task: Task | None = None, **options: Any
) -> TextGenVectorEnv:
    """The native vector environment of the task with that id; gymnasium's vector entry point."""
    task, rest = _load(task_id, task, options, TextGenVectorEnv)
    return TextGenVectorEnv(task, num_envs, **rest)


def _load(
    task_id: str, task: Task | None, options: dict[str, Any], env: Callable[..., Any]
) -> tuple[Task, dict[str, Any]]:
    """(the task, the options that are the environment's own); the other options are for the task's ``load``."""
    if task_id not in all_tasks():
        raise unknown("task", task_id, all_tasks())
    if (
        options.pop("max_episode_steps", None) is not None
    ):  # gymnasium 0.29 passes it to every vector environment
        raise UserError(TIME_LIMIT)
    load = all_tasks()[task_id].load
    own = set(inspect.signature(env).parameters) - {"task", "num_envs"}
    loading = set(inspect.signature(load).parameters)
    for name in options:
        if name not in own | loading:
            raise unknown(f"option of {task_id}", name, own | loading)
    given = {name: value for name, value in options.items() if name in loading}
    if task is not None and given:
        raise UserError(
            f"task= is loaded already, so {', '.join(given)} cannot change it; give one or the other"
        )
    if task is not None and task.id != task_id and task.id in all_tasks():
        raise UserError(
            f"task= is {task.id}'s and not {task_id}'s; make {task.id}, or leave task= out"
        )
    return task if task is not None else load(**given), {
        name: value for name, value in options.items() if name in own
    }


for _id in all_tasks():
    if _id not in gymnasium.registry:
        gymnasium.register(
            _id,
            "textgen_env:make_env",
            # gymnasium 0.29 calls this one without the spec's keywords
            vector_entry_point=partial(make_vector_env, task_id=_id),  # type: ignore[arg-type]
            kwargs={"task_id": _id},
        )
