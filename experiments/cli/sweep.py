"""Checks every job of a sweep before the first one runs."""

from __future__ import annotations

from pathlib import Path

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from cli import idle, words
from cli.composing import choices_of, compose, initialized
from cli.store import store
from textgen_env.errors import UserError


def check(command: str, given: list[Override]) -> Path:
    """Check every job of a sweep; return the folder of the sweep.

    The jobs of another sweeper than Hydra's basic one are not known yet, so they are not checked.

    Raises:
        UserError: A job has a mistake, or jobs would share a folder or need different defaults.
    """
    originals = words.by_key(given)
    lines = words.lines(given)
    with initialized():
        store(command, {}, {}, "")
        hydras = words.lines(filter(words.is_hydras, given))
        settings = hydra.compose(command, hydras, return_hydra_config=True).hydra
        folder = Path(settings.sweep.dir)
        if not settings.sweeper._target_.endswith("BasicSweeper"):
            return folder
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        (jobs,) = BasicSweeper.split_arguments(parser.parse_overrides(lines), None)
        if not jobs:
            raise UserError("this sweep has no jobs: no name matches; --help lists the names")
        outs, defaults = set(), {}
        for job in jobs:
            overrides = words.parse(job)
            config = compose(command, overrides, originals)
            idle.check_given(originals, config)
            outs.add(config.get("out"))
            values = {key: override.value() for key, override in words.by_key(overrides).items()}
            for group, name in choices_of(command, values)[0].items():
                if group not in originals and defaults.setdefault(group, name) != name:
                    raise UserError(
                        f"the presets of this sweep choose {group}={defaults[group]} and "
                        f"{group}={name}; give {group}="
                    )
    if "out" in originals and len(outs) < len(jobs):
        raise UserError(
            f"out={config.out}: {len(jobs)} jobs would share this folder; leave it out, "
            "then each has a folder in hydra.sweep.dir"
        )
    return folder
