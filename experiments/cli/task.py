"""A finished run, with what the command line says of its task and of its teacher's place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.runs.loading import load_run, read_run
from agents.runs.run import Run
from cli import words
from cli.command import is_place, read
from textgen_env.errors import UserError


def open_run(config: DictConfig) -> Run:
    """Load the run ``config.run`` of a command, with the device, precision and options given."""
    if config.run is None:
        raise UserError("give run=RUN, a finished run folder")
    env = given_env(config.run, config.overrides)
    teacher = given_teacher(config.overrides)
    return load_run(config.run, config.device, config.precision, env, teacher)


def given_env(run: str, overrides: list[str]) -> dict[str, Any]:
    """``{"name": task, option: value}`` with the options in ``overrides``; empty without any.

    A dotted path is imported only if ``overrides`` repeats it.

    Args:
        run: the run folder, whose task the options belong to unless there is ``env=``.
        overrides: such as ``["env=my_tasks.Sort", "env.data_dir=text"]``.

    Raises:
        UserError: a name is unknown, or a value has another type or is out of range.
    """
    overrides = [word for word in overrides if not is_place(word)]
    given = words.by_key(words.parse(overrides))
    if not given:
        return {}
    named = [] if "env" in given else [f"env={words.quote(read_run(Path(run))[0].env.name)}"]
    config = read("dagger", [*named, *overrides])
    options = {
        key.removeprefix("env."): OmegaConf.select(config, key) for key in given if key != "env"
    }
    return {"name": config.env.name, **options}


def given_teacher(overrides: list[str]) -> str | None:
    """The value of ``teacher.path=``: another place of a run's teacher; None if it is not given."""
    path: str | None = read("dagger", [*filter(is_place, overrides)]).teacher.path
    return path
