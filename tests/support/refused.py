"""The message of a command that refuses its command line."""

import sys

import pytest

from cli import run


def refused(monkeypatch, capsys, main, command, *words):
    """The last line that a command prints; checks that its exit code is 2."""
    monkeypatch.setattr(sys, "argv", [command, *words])
    with pytest.raises(SystemExit) as stopped:
        run(main, command)
    assert stopped.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def never(*_):
    """A main function, or a reward, that must not be called."""
    raise AssertionError("it ran")
