"""The command line: Hydra, with every mistake found before anything runs and told in one line."""

import openmp  # noqa: F401  (before torch)

from cli.command import read, read_given, run
from cli.jobs import overrides

__all__ = ["overrides", "read", "read_given", "run"]
