"""The task of a run, as far as the command line overrides it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from agents.runs.loading import read_run
from cli import words
from cli.command import read


def given_env(run: str, overrides: list[str]) -> dict[str, Any]:
    """``{"name": task, option: value}`` with the options in ``overrides``; empty without any.

    A dotted path is imported only if ``overrides`` repeats it.

    Args:
        run: the run folder, whose task the options belong to unless there is ``env=``.
        overrides: such as ``["env=my_tasks.Sort", "env.data_dir=text"]``.

    Raises:
        UserError: a name is unknown, or a value has another type or is out of range.
    """
    given = words.by_key(words.parse(overrides))
    if not given:
        return {}
    named = [] if "env" in given else [f"env={words.quote(read_run(Path(run))[0].env.name)}"]
    config = read("dagger", [*named, *overrides])
    options = {
        key.removeprefix("env."): OmegaConf.select(config, key) for key in given if key != "env"
    }
    return {"name": config.env.name, **options}
