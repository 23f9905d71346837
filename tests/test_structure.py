"""The structure of the project: which file imports which, how long files are, what tests use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
# From bottom to top. experiments/bench.py runs benchmarks, and one of those runs a whole command.
FLOORS = {"textgen_env": 0, "agents": 1, "experiments": 2, "benchmarks": 2, "docs": 3}
MAX_LINES = 300
MAX_PARAMETERS = 6
MEMORY = {"tracemalloc", "getrusage", "memory_info", "ru_maxrss", "rss", "max_memory_allocated"}

SOURCES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# Longer files, with the reason; none is the aim.
LONG_FILES: dict[str, str] = {}


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    """``agents/losses/__init__.py`` → ``agents.losses``; commands are top-level modules."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in SOURCES}
# imported by their own name, without "experiments."
COMMANDS = {path.stem for path in (ROOT / "experiments").iterdir()}


def resolve(name: str) -> str | None:
    """The module of ours that ``name`` is or is in."""
    if name.partition(".")[0] in COMMANDS:
        name = f"experiments.{name}"
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def imported_names(path: Path) -> Iterator[str]:
    """The dotted name of every import in the file, those inside functions included."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


@cache
def module_imports() -> dict[str, set[str]]:
    """The modules of ours that each module imports."""
    return {
        name: {target for target in map(resolve, imported_names(path)) if target} - {name}
        for name, path in MODULES.items()
    }


def folder(module: str) -> str:
    """``agents.losses.sequence`` → ``agents.losses``."""
    return ".".join(module.split(".")[:2])


def find_cycle(graph: dict[str, set[str]]) -> list[str] | None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def test_no_module_imports_itself_through_others() -> None:
    assert find_cycle(module_imports()) is None


def test_no_folder_imports_itself_through_others() -> None:
    graph: dict[str, set[str]] = {}
    for module, targets in module_imports().items():
        graph.setdefault(folder(module), set()).update(map(folder, targets))
    for name, targets in graph.items():
        targets.discard(name)
    assert find_cycle(graph) is None


def test_every_import_goes_down_a_floor_or_stays() -> None:
    def floor(module: str) -> int:
        return FLOORS[module.partition(".")[0]]

    upward = {
        (module, target)
        for module, targets in module_imports().items()
        for target in targets
        if floor(target) > floor(module)
    }
    assert not upward


def test_imports_are_absolute() -> None:
    assert not [
        (relative(path), name)
        for path in SOURCES + TESTS
        for name in imported_names(path)
        if name.startswith(".")
    ]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_functions_have_at_most_six_parameters() -> None:
    def allowed(path: Path, function: str) -> bool:
        task = path.parent == ROOT / "textgen_env" / "tasks" and function == "load"
        return task or function == "__init__"

    def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
        arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
        return {argument.arg for argument in arguments} - {"self", "cls"}

    assert not [
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in functions(path)
        if len(parameters(node)) > MAX_PARAMETERS and not allowed(path, node.name)
    ]


def test_files_have_at_most_300_lines() -> None:
    lengths = {relative(path): len(path.read_bytes().splitlines()) for path in SOURCES + TESTS}
    long = {name for name, length in lengths.items() if length > MAX_LINES}
    assert long <= LONG_FILES.keys()


def test_public_names_of_the_packages_are_unique() -> None:
    modules: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in parse(path).body if module.startswith(("textgen_env", "agents")) else ():
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                modules.setdefault(node.name, []).append(module)
    del modules["load"]  # every task has one
    assert not {name: places for name, places in modules.items() if len(places) > 1}


def test_no_test_module_imports_another() -> None:
    test_modules = {path.stem for path in TESTS if path.stem.startswith("test_")}
    assert not [
        (relative(path), name)
        for path in TESTS
        for name in imported_names(path)
        if {"tests", "conftest", *test_modules} & {*name.split(".")}
    ]


def private_names() -> set[str]:
    """The names with one leading underscore that our code defines."""
    names = set()
    for path in SOURCES:
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    return {name for name in names if re.fullmatch(r"_[a-zA-Z]\w*[a-zA-Z0-9]", name)}


def used_names(path: Path) -> Iterator[tuple[int, str]]:
    """(line, name) of each attribute, imported name and dotted string in the file."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value.rpartition(".")[2]  # as monkeypatch takes it


def uses(names: set[str]) -> list[str]:
    """Where the tests use one of ``names``."""
    return [
        f"{relative(path)}:{line} {name}"
        for path in TESTS
        if path != Path(__file__)
        for line, name in used_names(path)
        if name in names
    ]


def test_no_test_uses_a_private_name() -> None:
    assert not uses(private_names())


def test_no_test_sleeps() -> None:
    assert not uses({"sleep"})


def test_no_test_measures_memory() -> None:
    assert not uses(MEMORY)


def test_only_the_tests_in_accel_need_accel() -> None:
    """The folder ``agents/accel`` can be deleted together with ``tests/accel``."""
    others = [path for path in TESTS if path.parent.name != "accel" and path != Path(__file__)]
    users = {
        relative(path)
        for path in others
        if re.search(r"agents(\.| import )accel", path.read_text())
    }
    assert not users
