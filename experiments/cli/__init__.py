"""The command line: Hydra, with every mistake found before anything runs and told in one line."""

import sys
import warnings

import openmp  # noqa: F401  (before torch)

warnings.filterwarnings("ignore", "`import agents` gives the package of")  # an error below
from textgen_env.namesakes import describe_foreign_agents  # noqa: E402

if foreign := describe_foreign_agents():  # before anything imports agents
    print(f"error: {foreign}", file=sys.stderr)
    sys.exit(2)

from cli.command import read, read_given, run  # noqa: E402
from cli.jobs import overrides  # noqa: E402
from cli.task import given_env, given_teacher, open_run  # noqa: E402

__all__ = ["given_env", "given_teacher", "open_run", "overrides", "read", "read_given", "run"]
