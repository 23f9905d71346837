"""Sequence generation as a gymnasium MDP whose expert is the teacher.  Importing this registers every task's id.

    gymnasium.make("textgen_env:Copy-v0", expert=True)
    gymnasium.make_vec("textgen_env:Copy-v0", num_envs=64)

Keywords are the task's (``load``'s: ``symbols=5``) and the environment's (``TextGenEnv``'s: ``reward="bleu"``); ``world=``
shares a World that is loaded already.  gymnasium 0.29 wants them apart to choose the native vector environment:
``make_vec(id, num_envs=64, vectorization_mode="custom", vector_kwargs={"symbols": 5})``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium

from textgen_env.envs.env import TextGenEnv
from textgen_env.envs.shell import TIME_LIMIT
from textgen_env.envs.vector import TextGenVectorEnv
from textgen_env.envs.wrappers import FlatObservation
from textgen_env.errors import UserError, unknown
from textgen_env.oracles.oracle import Oracle, PolicyOracle, ReferenceOracle
from textgen_env.oracles.wrappers import CachedOracle, NoisyOracle
from textgen_env.tasks import tasks as all_tasks
from textgen_env.tasks.task import Split, World
from textgen_env.types import BOS, EOS, PAD, UNK, Batch, Trajectories

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "UNK",
    "Batch",
    "CachedOracle",
    "FlatObservation",
    "NoisyOracle",
    "Oracle",
    "PolicyOracle",
    "ReferenceOracle",
    "Split",
    "TextGenEnv",
    "TextGenVectorEnv",
    "Trajectories",
    "UserError",
    "World",
    "make_env",
    "make_vector_env",
]


def make_env(task: str, world: World | None = None, **options: Any) -> TextGenEnv:
    """The environment of the task with id ``task``; gymnasium's entry point."""
    world, rest = _load(task, world, options, TextGenEnv)
    return TextGenEnv(world, **rest)


def make_vector_env(task: str, num_envs: int = 1, world: World | None = None, **options: Any) -> TextGenVectorEnv:
    """The native vector environment of the task with id ``task``; gymnasium's vector entry point."""
    world, rest = _load(task, world, options, TextGenVectorEnv)
    return TextGenVectorEnv(world, num_envs, **rest)


def _load(task: str, world: World | None, options: dict[str, Any], env: Callable[..., Any]) -> tuple[World, dict[str, Any]]:
    """(the world, the options that are the environment's own); the other options are the task's."""
    if task not in all_tasks():
        raise unknown("task", task, all_tasks())
    if options.pop("max_episode_steps", None) is not None:  # gymnasium 0.29 passes it to every vector environment
        raise UserError(TIME_LIMIT)
    load = all_tasks()[task].load
    own = set(inspect.signature(env).parameters) - {"world", "num_envs"}
    loading = set(inspect.signature(load).parameters)
    for name in options:
        if name not in own | loading:
            raise unknown(f"option of {task}", name, own | loading)
    given = {name: value for name, value in options.items() if name in loading}
    if world is not None and given:
        raise UserError(f"world= is loaded already, so {', '.join(given)} cannot change it; give one or the other")
    if world is not None and world.id != task and world.id in all_tasks():
        raise UserError(f"world= is {world.id}'s and not {task}'s; make {world.id}, or leave world= out")
    return world if world is not None else load(**given), {name: value for name, value in options.items() if name in own}


def _register() -> None:
    """gymnasium 0.29 calls a vector entry point without the spec's keywords, so each id has an importable one of its own."""
    for id in all_tasks():
        maker = f"make_vector_{id.replace('-', '_')}"
        globals()[maker] = partial(make_vector_env, task=id)
        if id not in gymnasium.registry:
            gymnasium.register(id, "textgen_env:make_env", vector_entry_point=f"textgen_env:{maker}", kwargs={"task": id})


_register()
