"""The command line: Hydra, with every mistake found before anything runs and told in one line."""

import openmp  # noqa: F401  (before torch)

from cli.command import read, read_given, run
from cli.jobs import overrides
from cli.task import given_env

__all__ = ["given_env", "overrides", "read", "read_given", "run"]
