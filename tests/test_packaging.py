"""Every imported package is declared, the versions agree, and an import has no side effects."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import textgen_env

ROOT = Path(__file__).parents[1]
FOLDERS = ("textgen_env", "agents", "experiments", "benchmarks", "docs", "tests")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# loaded as plugins of pytest, Hydra and Jupyter
PLUGINS = {"pytest-cov", "pytest-xdist", "hydra-joblib-launcher", "ipykernel"}
# two generations of each are supported
UNPINNED = {"gymnasium", "stable-baselines3", "sb3-contrib", "imitation"}


def normalized(requirement: str) -> str:
    """The name in a requirement: ``Rouge_Score>=0.1`` → ``rouge-score``."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()


CORE = {*map(normalized, PROJECT["dependencies"])}
EXTRAS = {
    extra: {*map(normalized, requirements)} - {"textgen-env"}
    for extra, requirements in PROJECT["optional-dependencies"].items()
}
OPTIONAL = set().union(*EXTRAS.values())
OWN = {*FOLDERS, "support", "conf", "cli"}
OWN |= {
    path.stem
    for folder in ("experiments", "docs", "tests")
    for path in (ROOT / folder).rglob("*.py")
}


def is_lazy(node: ast.AST) -> bool:
    """Whether the statements inside ``node`` may not run when the module is imported."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Try | ast.If)


@cache
def third_party_imports(path: Path) -> set[tuple[str, bool]]:
    """(top-level package, whether importing the module always imports it) for the file ``path``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {child for node in ast.walk(tree) if is_lazy(node) for child in ast.walk(node)}
    imports = set()
    for node in ast.walk(tree):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.importorskip":
            names += [name.value for name in node.args if isinstance(name, ast.Constant)]
        tops = {name.partition(".")[0] for name in names}
        imports |= {(top, node not in lazy) for top in tops - sys.stdlib_module_names - OWN}
    return imports


DISTRIBUTIONS = packages_distributions()


def distributions(package: str) -> set[str]:
    """The names under which the distributions of ``package`` may be declared."""
    return {*map(normalized, DISTRIBUTIONS.get(package, [package]))}


ELSEWHERE = {"trl"}  # benchmarks/trl/peer*.py run in an environment of their own


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_imported_package_is_declared(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*.py")):
        for package, eager in third_party_imports(path) - {(name, True) for name in ELSEWHERE}:
            declared = distributions(package) & (CORE | OPTIONAL)
            assert declared, f"{path}: {package} is not declared in pyproject.toml"
            if eager and folder == "textgen_env":
                assert declared & CORE, f"{path}: import the optional {package} where it is used"


def test_every_declared_package_is_imported() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    packages = {package for path in files for package, _ in third_party_imports(path)}
    imported = set().union(*map(distributions, packages))
    assert (CORE | OPTIONAL) - EXTRAS["dev"] - imported <= PLUGINS


def test_every_declared_package_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", pin) for pin in pins)
    assert {*map(normalized, pins)} == (CORE | OPTIONAL) - UNPINNED


def test_every_extra_that_is_mentioned_exists() -> None:
    patterns = ("*.md", "docs/*.ipynb", "docs/**/*.md", "textgen_env/**/*.py", "agents/**/*.py")
    patterns += ("experiments/**/*.py", "benchmarks/**/*.py", ".ci/run")
    for path in {path for pattern in patterns for path in ROOT.glob(pattern)}:
        for mention in re.findall(r"\.\[([a-z0-9,]+)\]", path.read_text(encoding="utf-8")):
            assert {*mention.split(",")} <= EXTRAS.keys(), f"{path}: .[{mention}]"


def test_changelog_and_citation_name_this_version() -> None:
    version = re.escape(textgen_env.__version__)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: {version}$", citation, re.MULTILINE)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{version}\]", changelog, re.MULTILINE)


@pytest.mark.parametrize("name", ["textgen_env", "agents"])
def test_public_names_exist(name: str) -> None:
    package = importlib.import_module(name)
    assert len(package.__all__) == len({*package.__all__})
    folders = {info.name for info in pkgutil.iter_modules(package.__path__)}
    assert all(hasattr(package, public) or public in folders for public in package.__all__)
    assert (ROOT / name / "py.typed").is_file()


IMPORT = """
import os, random, signal, sys, time

began = time.perf_counter()
import gymnasium, numpy, rich.console, sacrebleu, safetensors, scipy.stats, tokenizers, torch
libraries = time.perf_counter() - began

def process_state():
    umask = os.umask(0o027)
    os.umask(umask)
    settings = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
    generators = torch.get_rng_state().tolist(), random.getstate(), str(numpy.random.get_state())
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    return umask, settings, generators, handlers, dict(os.environ), os.getcwd()

def watch(event, args):
    written = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if written or event.split(".")[0] in ("socket", "subprocess") or event == "os.fork":
        events.append((event, str(args)))

os.umask(0o027)
before, events = process_state(), []
sys.addaudithook(watch)
began = time.perf_counter()
import textgen_env, agents
seconds = time.perf_counter() - began
assert process_state() == before
assert not events, events
optional = "stable_baselines3 imitation sb3_contrib transformers datasets ctranslate2 matplotlib"
optional = {*optional.split(), "peft", "hydra", "jinja2", "tensorboard"} & sys.modules.keys()
assert not optional, optional
assert seconds < libraries, (seconds, libraries)
"""


def test_importing_is_fast_and_has_no_side_effects() -> None:
    command = [sys.executable, "-B", "-W", "error::RuntimeWarning", "-c", IMPORT]
    subprocess.run(command, check=True, cwd=ROOT)
