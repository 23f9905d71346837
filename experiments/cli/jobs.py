"""A command's main function as Hydra calls it: once, or once per job of a sweep."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from agents.training import signals
from cli import words
from cli.composing import plain, register_dotted
from textgen_env.errors import UserError
from textgen_env.terminal import console

Main = Callable[[DictConfig], None]
FAILED = "failed.txt"  # in the folder of a sweep: one line per failed job


def job_of(main: Main, errors: list[Exception]) -> Main:
    """``main`` with a configuration of plain values, for ``hydra.main``.

    A user's mistake is appended to ``errors`` and, in a sweep, to ``failed.txt``, which also works
    if a launcher runs the job in another process. Other exceptions are bugs, left to Hydra.
    """

    def job(config: DictConfig) -> None:
        hydra = HydraConfig.get()
        is_sweep = hydra.mode == RunMode.MULTIRUN
        name = f"job {hydra.job.get('num', 0)} ({' '.join(hydra.overrides.task)})"
        try:
            config = plain(config)
            register_dotted(config)
            if is_sweep:
                print_line(name)
                if "out" in config and "out" not in words.by_key(words.parse(overrides())):
                    config.out = str(Path(hydra.sweep.dir) / hydra.sweep.subdir)
            main(config)
        except (UserError, OSError) as error:
            if not is_sweep:
                errors.append(error)
                return
            line = f"{name}: {message(error)}"
            print_line(f"error: {line}")
            with open(Path(hydra.sweep.dir) / FAILED, "a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        except Exception as error:
            if is_sweep:
                print_line(f"bug: {name}: {type(error).__name__}: {error}")
            raise

    job.__module__ = "__main__"  # Hydra derives a search path from it
    return job


def overrides() -> list[str]:
    """The user's overrides: those of the running job, or of the command line."""
    if not HydraConfig.initialized():
        return sys.argv[1:]
    return [
        word
        for override in words.parse(HydraConfig.get().overrides.task)
        for word in (
            override.value() if override.key_or_group == "overrides" else [override.input_line]
        )
    ]


@contextmanager
def exit_codes() -> Iterator[None]:
    """Exit with a code and one line, without a traceback, after what is no bug.

    The code is 2 after a user's mistake or a full disk, and 130, 143 or 129 after Ctrl-C, SIGTERM
    or SIGHUP.
    """
    code = 2
    with signals.handle_signals(signals.raise_interrupted):
        try:
            yield
            return
        except (UserError, OSError) as error:
            print_line(f"error: {message(error)}")
        except KeyboardInterrupt as error:
            print_line(str(error) or "interrupted")
            code = signals.exit_code(error)
    sys.exit(code)


def message(error: Exception) -> str:
    """The text of an error; of an ``OSError`` the file and the reason."""
    if not isinstance(error, OSError):
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def print_line(text: str) -> None:
    """Print to the terminal, unless that is gone or a file on a full disk."""
    with suppress(OSError):
        console.print(text, markup=False, soft_wrap=True)
