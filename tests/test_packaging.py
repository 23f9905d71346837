"""Every package that the code imports is declared, and importing ours changes nothing of the process."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOPS = ("textgen_env", "agents", "experiments", "benchmarks")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def normalized(requirement: str) -> str:
    """``Rouge_Score>=0.1`` → ``rouge-score``."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()


CORE = {*map(normalized, PROJECT["dependencies"])}
EXTRAS = {normalized(name) for names in PROJECT["optional-dependencies"].values() for name in names}
OWN = {*TOPS, *(path.stem for path in (ROOT / "experiments").glob("*.py"))}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(top-level package, whether it is imported with the module) of each import of others' packages in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for child in ast.walk(node)
    }
    guarded = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.Try | ast.If)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - OWN:
            yield name, node not in late | guarded


@pytest.mark.parametrize("top", TOPS)
def test_every_imported_package_is_declared(top: str) -> None:
    distributions = packages_distributions()
    for path in sorted((ROOT / top).rglob("*.py")):
        for name, eager in imports(path):
            declared = {*map(normalized, distributions.get(name, [name]))}
            assert declared & (CORE | EXTRAS), f"{path}: {name} is not declared in pyproject.toml"
            if eager and top == "textgen_env":
                assert declared & CORE, (
                    f"{path}: {name} is optional and must be imported where it is used"
                )


def test_importing_changes_nothing_of_the_process() -> None:
    code = """
import os, signal, sys, warnings, torch

def state():
    umask = os.umask(0o027)
    os.umask(umask)
    torch_state = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.initial_seed()
    return umask, torch_state, dict(os.environ), signal.getsignal(signal.SIGTERM), os.getcwd()

os.umask(0o027)
before = state()
import textgen_env, agents
assert state() == before, (before, state())
optional = {"stable_baselines3", "imitation", "sb3_contrib", "transformers", "datasets", "ctranslate2"} & sys.modules.keys()
assert not optional, optional
"""
    subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", code], check=True, cwd=ROOT
    )
