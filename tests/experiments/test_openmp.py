"""OpenMP's wait policy is set before torch loads, unless the user has set it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(path.stem for path in (ROOT / "experiments" / "conf").glob("[!_]*.py"))
WATCH = """
import os, runpy, sys
class AtTorch:
    def find_spec(name, *_):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"))
            os._exit(os.EX_OK if sys.stdout.flush() is None else 1)
sys.meta_path.insert(0, AtTorch)
runpy.run_path(sys.argv[1], run_name="a command")
"""


def policy_at_torch(script, **given):
    """OMP_WAIT_POLICY at the first import of torch."""
    known = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    path = os.pathsep.join((str(ROOT), str(script.parent)))
    environment = {**known, **given, "PYTHONPATH": path}
    words = [sys.executable, "-c", WATCH, str(script)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_sets_the_passive_wait_policy(name):
    assert policy_at_torch(ROOT / "experiments" / f"{name}.py") == "passive"


def test_a_policy_in_the_environment_is_kept():
    assert policy_at_torch(ROOT / "experiments" / "dagger.py", OMP_WAIT_POLICY="active") == "active"


def test_the_library_does_not_change_the_environment():
    code = (
        "import os; before = dict(os.environ); import agents.training.trainer, textgen_env; "
        "assert os.environ == before"
    )
    known = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    subprocess.run(
        [sys.executable, "-c", code],
        env={**known, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
