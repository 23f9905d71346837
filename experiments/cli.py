"""Runs a command through Hydra; one line and an exit code for every mistake.

Overrides are parsed and checked first, every job of a sweep too, so that a mistake is found before anything runs.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import openmp  # noqa: F401  (before torch)

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

import idle
import sweep
import usage
import words
from agents.training import signals
from composing import compose, initialized, plain, register_dotted
from schema import keys
from store import store
from textgen_env.errors import UserError
from textgen_env.terminal import console

Main = Callable[[DictConfig], None]


def run(main: Main, command: str) -> None:
    """Run ``main`` with the configuration of the command line, or once per job of a sweep.

    Exits with 2 after a user's mistake or a full disk, with 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP, each with
    one line, and with Hydra's 1 after a bug.
    """
    code = 2
    with signals.handle_signals(signals.raise_interrupted):
        try:
            idle.check_single_process(os.environ)
            _run(main, command)
            return
        except (UserError, OSError) as error:
            _print(f"error: {_message(error)}")
        except KeyboardInterrupt as error:
            _print(str(error) or "interrupted")
            code = signals.exit_code(error)
    sys.exit(code)


def read(command: str, overrides: list[str]) -> DictConfig:
    """The configuration of ``command`` for ``overrides``, checked, in plain values.

    Raises:
        UserError: A name is unknown, or a value has another type or is out of range.
    """
    parsed = words.parse(overrides)
    words.check_swept(parsed)
    with initialized():
        return compose(command, parsed, words.by_key(parsed))


def read_given(command: str, overrides: list[str]) -> DictConfig:
    """``read`` for a user's overrides; UserError also for a key that has no effect beside the others."""
    config = read(command, overrides)
    idle.check_given(words.by_key(words.parse(overrides)), config)
    return config


def overrides() -> list[str]:
    """The user's overrides: those of the running job, or of the command line."""
    if not HydraConfig.initialized():
        return sys.argv[1:]
    return [
        word
        for each in words.parse(HydraConfig.get().overrides.task)
        for word in (each.value() if each.key_or_group == "overrides" else [each.input_line])
    ]


def _run(main: Main, command: str) -> None:
    arguments = get_args_parser().parse_intermixed_args(sys.argv[1:])
    flags = [word for word in sys.argv[1:] if word not in arguments.overrides]
    if arguments.config_name or arguments.config_path or arguments.config_dir:
        raise UserError(
            f"{' '.join(flags)}: the configurations are part of this project; leave it out"
        )
    given = words.parse(_passed_on(command, arguments.overrides))
    if arguments.help:
        print(usage.text(command, {key: each.value() for key, each in words.by_key(given).items()}))
        return
    multirun, failed = arguments.multirun, Path()
    if arguments.hydra_help or arguments.shell_completion:
        store(command, {}, {}, "")
    elif multirun:
        folder = sweep.check(command, given)
        failed = folder / "failed.txt"
        failed.unlink(missing_ok=True)
        given += words.parse([f"hydra.sweep.dir={words.quote(str(folder))}"])
    else:
        words.check_swept(given)
        read_given(command, [str(each.input_line) for each in given])
    if main.__module__ == "__main__":  # so that other processes can import it
        main = importlib.import_module(command).main
    errors: list[Exception] = []
    before, sys.argv = sys.argv, [sys.argv[0], *flags, *(str(each.input_line) for each in given)]
    try:
        hydra.main(config_path=None, config_name=command, version_base="1.3")(_job(main, errors))()
    finally:
        sys.argv = before
        GlobalHydra.instance().clear()
    if errors:
        raise errors[0]
    if multirun and failed.is_file():
        count = len(failed.read_text(encoding="utf-8").splitlines())
        raise UserError(f"{count} job{'s' * (count > 1)} of this sweep failed: {failed}")


def _passed_on(command: str, overrides: list[str]) -> list[str]:
    """``overrides``; those without a key of ``command`` become the list ``overrides=``, if it has one."""
    known = keys(command, {})
    if "overrides" not in known:
        return overrides
    own = [
        word
        for word in overrides
        if word.partition("=")[0] in known or words.is_hydras(*words.parse([word]))
    ]
    rest = [words.quote(word) for word in overrides if word not in own]
    return [*own, f"overrides=[{','.join(rest)}]"] if rest else own


def _job(main: Main, errors: list[Exception]) -> Main:
    """``main`` as Hydra calls it; a user's mistake goes to ``errors``, in a sweep to ``failed.txt``."""

    def job(config: DictConfig) -> None:
        settings = HydraConfig.get()
        swept = settings.mode == RunMode.MULTIRUN
        name = f"job {settings.job.get('num', 0)} ({' '.join(settings.overrides.task)})"
        try:
            config = plain(config)
            register_dotted(config)
            if swept:
                _print(name)
                if "out" in config and "out" not in words.by_key(words.parse(overrides())):
                    config.out = str(Path(settings.sweep.dir) / settings.sweep.subdir)
            main(config)
        except (UserError, OSError) as error:
            if not swept:
                errors.append(error)
                return
            line = f"{name}: {_message(error)}"
            _print(f"error: {line}")
            with open(Path(settings.sweep.dir) / "failed.txt", "a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        except Exception as error:
            if swept:
                _print(f"bug: {name}: {type(error).__name__}: {error}")
            raise

    job.__module__ = "__main__"  # Hydra derives a search path from it
    return job


def _message(error: Exception) -> str:
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return str(error)


def _print(text: str) -> None:
    with suppress(OSError):  # the terminal may be gone, or a file on the full disk
        console.print(text, markup=False, soft_wrap=True)
