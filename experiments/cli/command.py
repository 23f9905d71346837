"""Runs a command through Hydra, with one line and an exit code for every mistake.

All overrides are parsed and checked first, those of every job in a sweep too, so that mistakes are
found before anything runs.
"""

from __future__ import annotations

import importlib
import os
import sys

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from cli import idle, jobs, sweep, usage, words
from cli.composing import compose, initialized
from cli.jobs import Main
from cli.resuming import continued
from cli.schema import config_of, keys
from cli.store import store
from textgen_env.errors import UserError


def run(main: Main, command: str) -> None:
    """Run ``main`` with the configuration of the command line, or once per job of a sweep.

    Exits as ``jobs.exit_codes`` says. After a bug, Hydra prints a traceback and exits with 1.

    Args:
        main: function that runs the command.
        command: name of the command, of its module and of its module of keys in ``conf``.
    """
    with jobs.exit_codes():
        try:
            idle.check_single_process(os.environ)
            _run(main, command)
        except BrokenPipeError:  # whoever read the output, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def read(command: str, overrides: list[str]) -> DictConfig:
    """Compose and check the configuration of ``command``; return plain values.

    Raises:
        UserError: A name is unknown, or a value has another type or is out of range.
    """
    parsed = words.parse(overrides)
    words.check_swept(parsed)
    with initialized():
        return compose(command, parsed, words.by_key(parsed))


def read_given(command: str, overrides: list[str]) -> DictConfig:
    """``read`` for a user's overrides; refuses also a key that has no effect beside the others.

    The settings of a run that they resume come from its folder.
    """
    return _completed(command, words.parse(overrides))[1]


def _run(main: Main, command: str) -> None:
    arguments = get_args_parser().parse_intermixed_args(sys.argv[1:])
    flags = [word for word in sys.argv[1:] if word not in arguments.overrides]
    if arguments.config_name or arguments.config_path or arguments.config_dir:
        raise UserError(f"{' '.join(flags)}: a command has one configuration; leave this out")
    given = words.parse(_passed_on(command, arguments.overrides))
    if arguments.help:
        values = {key: override.value() for key, override in words.by_key(given).items()}
        print(usage.text(command, values))
        return
    failed = None
    if arguments.hydra_help or arguments.shell_completion:
        store(command, {}, {}, "")
    elif arguments.multirun or "hydra.mode=MULTIRUN" in arguments.overrides:
        failed = sweep.check(command, given) / jobs.FAILED
        failed.unlink(missing_ok=True)
        given += words.parse([f"hydra.sweep.dir={words.quote(str(failed.parent))}"])
    else:
        given, _ = _completed(command, given)
    errors = _run_hydra(main, command, [*flags, *words.lines(given)])
    if errors:
        raise errors[0]
    if failed and failed.is_file():
        count = len(failed.read_text(encoding="utf-8").splitlines())
        raise UserError(f"{count} job{'s' * (count > 1)} of this sweep failed: {failed}")


def _completed(command: str, given: list[Override]) -> tuple[list[Override], DictConfig]:
    """``given`` with the settings of the run that it resumes, and their checked configuration.

    Refuses a key of ``given`` that has no effect.
    """
    whole = continued(command, given)
    config = read(command, words.lines(whole))
    idle.check_given(words.by_key(given), config)
    return whole, config


def _run_hydra(main: Main, command: str, arguments: list[str]) -> list[Exception]:
    """Run ``main`` by Hydra with these command-line ``arguments``; return the user's mistakes."""
    if main.__module__ == "__main__":  # so that a launcher's processes can import it
        main = importlib.import_module(command).main
    errors: list[Exception] = []
    before, sys.argv = sys.argv, [sys.argv[0], *arguments]
    try:
        decorate = hydra.main(config_path=None, config_name=command, version_base="1.3")
        decorate(jobs.job_of(main, errors))()
    finally:
        sys.argv = before
        GlobalHydra.instance().clear()
    return errors


def is_place(word: str) -> bool:
    """Whether an override is ``teacher.path=``, which may be another place of a run's teacher."""
    return word.partition("=")[0] == "teacher.path"


def _passed_on(command: str, overrides: list[str]) -> list[str]:
    """Collect overrides of other commands in the list ``overrides=``, if ``command`` has that.

    Which ones says ``passes`` of its configuration: those of a group and ``teacher.path=``, or
    "all".
    """
    known, group = keys(command, {}), getattr(config_of(command), "passes", None)
    if group is None:
        return overrides
    own = [
        word
        for word in overrides
        if word.partition("=")[0] in known
        or words.is_hydras(*words.parse([word]))
        or not (is_place(word) or group in ("all", word.partition("=")[0].partition(".")[0]))
    ]
    rest = [words.quote(word) for word in overrides if word not in own]
    return [*own, f"overrides=[{','.join(rest)}]"] if rest else own
