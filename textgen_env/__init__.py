"""Text generation as a gymnasium MDP whose expert is the teacher model.

Importing this package registers every task::

    gymnasium.make("textgen_env:Copy-v0", expert=True)
    gymnasium.make_vec("textgen_env:Copy-v0", num_envs=64)

Keyword arguments go to the task's ``load`` (``symbols=5``) or to ``TextGenEnv``
(``reward="bleu"``); ``metric=`` replaces the task's metric, and ``task=`` shares a ``Task`` that is
already loaded. With gymnasium 0.29, pass them as ``vector_kwargs`` to get the native vector
environment::

    make_vec(id, num_envs=64, vectorization_mode="custom", vector_kwargs={"symbols": 5})

To register a task of your own, a module or class with ``load``, pass its dotted path::

    gymnasium.register("Sort-v0", "textgen_env:make_env", kwargs={"task_id": "my_tasks.Sort"})

``reward``, ``metric`` and ``oracle`` may be dotted paths too: of functions as described in
``envs.rewards`` and ``metrics.functions``, and of a class or function that gets the ``Task`` and
returns an ``Oracle``.

Modules import only from those before them in this list: namesakes, terminal, errors, imports,
profiler, randomness, types, then the packages data, metrics, oracles, tasks and envs.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium

from textgen_env import tasks
from textgen_env.data.limit import Limit
from textgen_env.data.split import Split
from textgen_env.envs.env import TIME_LIMIT, TextGenEnv
from textgen_env.envs.vector import TextGenVectorEnv
from textgen_env.envs.wrappers import FlatObservation
from textgen_env.errors import UserError, unknown
from textgen_env.imports import import_object
from textgen_env.namesakes import describe_namesakes
from textgen_env.oracles.cached import CachedOracle
from textgen_env.oracles.noisy import NoisyOracle
from textgen_env.oracles.policy import PolicyOracle
from textgen_env.oracles.references import ReferenceOracle
from textgen_env.tasks.in_memory import task_from_pairs
from textgen_env.tasks.task import Task
from textgen_env.types import BOS, EOS, PAD, UNK, Batch, Oracle, Trajectories

__version__ = "0.1.0"  # pyproject.toml reads it

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
    "__version__",
    "load_task",
    "make_env",
    "make_vector_env",
    "task_from_pairs",
]


def load_task(task_id: str, **options: Any) -> Task:
    """Load the task with this id, or at this dotted path.

    Args:
        task_id: such as ``Copy-v0``, or ``module.name`` of a task of your own.
        **options: keyword arguments of the task's ``load``.

    Raises:
        UserError: the task or an option is unknown, or the data cannot be read.
    """
    load = tasks.find(task_id).load
    known = inspect.signature(load).parameters
    for name in options:
        if name not in known:
            raise unknown(f"option of {task_id}", name, known)
    task: Task = load(**options)
    return task


def make_env(task_id: str, task: Task | None = None, **options: Any) -> TextGenEnv:
    """Create the environment of a task, given by id or dotted path; used by ``gymnasium.make``."""
    task, env_options = _resolve(task_id, task, options, TextGenEnv)
    return TextGenEnv(task, **env_options)


def make_vector_env(
    task_id: str, num_envs: int = 1, task: Task | None = None, **options: Any
) -> TextGenVectorEnv:
    """Create the native vector environment of a task; used by ``gymnasium.make_vec``."""
    task, env_options = _resolve(task_id, task, options, TextGenVectorEnv)
    return TextGenVectorEnv(task, num_envs, **env_options)


def _resolve(
    task_id: str, task: Task | None, options: dict[str, Any], env: Callable[..., Any]
) -> tuple[Task, dict[str, Any]]:
    """Load the task with its share of ``options``; return it and the options of ``env``."""
    load = tasks.find(task_id).load
    # gymnasium 0.29 passes max_episode_steps to every vector environment
    if options.pop("max_episode_steps", None) is not None:
        raise UserError(TIME_LIMIT)
    env_names = {*inspect.signature(env).parameters, "metric"} - {"task", "num_envs"}
    task_names = set(inspect.signature(load).parameters)
    for name in options:
        if name not in env_names | task_names:
            raise unknown(f"option of {task_id}", name, env_names | task_names)
    task_options = {name: value for name, value in options.items() if name in task_names}
    if task is not None and task_options:
        raise UserError(
            f"task= is already loaded, so {', '.join(task_options)} cannot change it; "
            "pass one or the other"
        )
    if task is not None and task.id != task_id and task.id in tasks.tasks():
        raise UserError(f"task= is a {task.id} task, not {task_id}; make {task.id}, or omit task=")
    env_options = {name: value for name, value in options.items() if name in env_names}
    if task is None:
        task = load(**task_options)
    task = task.with_metric(env_options.pop("metric", None))
    if isinstance(path := env_options.get("oracle"), str):
        env_options["oracle"] = import_object("oracle", path)(task)
    return task, env_options


if _namesakes := describe_namesakes():
    warnings.warn(_namesakes, stacklevel=2)

for _id in tasks.tasks():
    if _id not in gymnasium.registry:
        gymnasium.register(
            _id,
            "textgen_env:make_env",
            # gymnasium 0.29 calls the vector entry point without the spec's keyword arguments
            vector_entry_point=partial(make_vector_env, task_id=_id),  # type: ignore[arg-type]
            kwargs={"task_id": _id},
        )
