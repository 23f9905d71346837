"""Composes the runs of a comparison, each from the overrides that apply to it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from agents.runs.comparison import RunKey
from agents.runs.config import check_same, leaves
from agents.runs.folder import ALWAYS, UNFINISHED, has_content, is_finished
from agents.runs.moved_teacher import moved_keys
from agents.runs.student import check_start, needs_start
from cli import idle
from cli.command import read
from cli.variants import Variant, crossed, listed, split_sweeps
from cli.words import quote
from textgen_env.errors import UserError

LISTS = {  # key of this command → key of a run
    "algorithms": "algorithm",
    "students": "student",
    "seeds": "seed",
    "beams": "evaluate.beam",
}


def check_lists(config: DictConfig, overrides: list[str]) -> None:
    """Refuse keys of runs that this command sets itself, and lists that repeat a value."""
    given = dict(word.partition("=")[::2] for word in overrides)
    if "evaluate.length_penalty" in given:
        power = given["evaluate.length_penalty"]
        raise UserError(f"evaluate.length_penalty={power}: here it is length_penalty={power}")
    for many, one in LISTS.items():
        if one in given:
            raise UserError(f"{one}={given[one]}: here it is {many}=[{given[one].strip('[]')}]")
        values = list(config[many]) if many in ("seeds", "beams") else []
        if repeated := [value for value in values if values.count(value) > 1]:
            raise UserError(
                f"{many}: {repeated[0]} is given {values.count(repeated[0])} times; give it once"
            )
    if "resume" in given:
        raise UserError("resume: leave it out; this command always resumes where it was stopped")


class System(NamedTuple):
    """An algorithm and a student, each with its settings, and the other overrides of their runs."""

    algorithm: Variant
    student: Variant
    passed: list[str]

    @property
    def settings(self) -> tuple[str, ...]:
        """The overrides that distinguish it."""
        return (*self.algorithm.settings, *self.student.settings)

    def folder(self, seed: int) -> str:
        """The name of the folder of a run."""
        return f"{self.algorithm.file_name}-{self.student.file_name}-seed{seed}"


def plan(config: DictConfig, overrides: list[str], folder: Path) -> dict[RunKey, DictConfig]:
    """Compose the configuration of every run from the overrides that apply to it.

    Raises:
        UserError: An override applies to no run, two runs are the same, or a run exists with other
            settings.
    """
    runs: dict[RunKey, DictConfig] = {}
    composed: dict[str, str] = {}  # settings → label
    systems = plan_systems(config, overrides)
    baselines = {  # student, seed → folder of mle's run
        (system.student.label, seed): str(folder / system.folder(seed))
        for system in systems
        if system.algorithm.label == "mle"
        for seed in config.seeds
    }
    for system in systems:
        for seed in config.seeds:
            key = system.algorithm.label, system.student.label, seed
            run = compose_run(system, config, seed, folder / system.folder(seed))
            same = str({name: value for name, value in leaves(run).items() if name != "out"})
            label = " ".join(map(str, key[:2]))
            if same in composed:
                raise UserError(f"{composed[same]} and {label} are the same run; leave one out")
            composed[same] = label
            if needs_start(run) and run.init is None:
                run.init = baselines.get(key[1:])
            check_start(run)
            check_unchanged(run)
            runs[key] = run
    return runs


def plan_systems(config: DictConfig, overrides: list[str]) -> list[System]:
    """The systems of a comparison: every algorithm with every student and every swept value.

    Raises:
        UserError: An override applies to no system.
    """
    fixed, sweeps = split_sweeps(overrides)
    systems, used = [], set()
    for student in listed("student", config.students):
        for algorithm in listed("algorithm", config.algorithms):
            own = [*algorithm.settings, *student.settings]
            first = {values[0]: word for word, values in sweeps.items()}
            general = without_keys([*fixed, *first], own)
            passed = passing([*general, *own], algorithm.name, student.name)
            used |= {first.get(word, word) for word in passed}
            values = [sweeps[first[word]] for word in passed if word in first]
            kept = [word for word in passed if word not in (*first, *own)]
            systems += [System(*pair, kept) for pair in crossed(algorithm, student, values)]
    if unused := [word for word in overrides if word not in used]:
        raise UserError(
            f"{' '.join(unused)}: none of these runs has such a key "
            "(python experiments/dagger.py --help)"
        )
    return systems


def without_keys(words: list[str], others: list[str]) -> list[str]:
    """The ``words`` whose keys ``others`` do not set."""
    taken = {word.partition("=")[0] for word in others}
    return [word for word in words if word.partition("=")[0] not in taken]


def compose_run(system: System, config: DictConfig, seed: int, out: Path) -> DictConfig:
    """The configuration of one run; its first beam width also evaluates the teacher."""
    own = [
        f"evaluate.beam={config.beams[0]}",
        f"evaluate.length_penalty={config.length_penalty}",
        f"student={system.student.name}",
        f"algorithm={system.algorithm.name}",
        f"seed={seed}",
        f"out={quote(str(out))}",
        f"resume={str(has_content(out)).lower()}",
    ]
    run = read("dagger", [*system.passed, *system.settings, *own])
    idle.check_given([word.partition("=")[0] for word in system.settings], run)
    return run


def check_unchanged(run: DictConfig) -> None:
    """Refuse a run whose folder holds a run with other settings."""
    folder = Path(run.out)
    if has_content(folder) and (folder / "config.yaml").is_file():
        free = ALWAYS if is_finished(folder) else UNFINISHED
        check_same(folder / "config.yaml", run, (*free, *moved_keys(folder, run)))


def passing(overrides: list[str], algorithm: str, student: str) -> list[str]:
    """The ``overrides`` that have an effect on a run of ``algorithm`` and ``student``.

    Leaves out the keys of other algorithms and students; a key that no run uses is a UserError.
    """
    choice = [f"algorithm={algorithm}", f"student={student}"]
    keys = {word: word.partition("=")[0] for word in overrides}
    shaping = [word for word in overrides if keys[word] in ("env", "preset", "teacher")]
    valid = leaves(read("dagger", [*shaping, *choice]))
    known = [
        word
        for word in overrides
        if not word.startswith(("algorithm.", "student.")) or keys[word] in valid
    ]
    config = read("dagger", [*known, *choice])
    passed = [
        word
        for word in known
        if not (idle.depends_on_algorithm(keys[word]) and idle.why_idle(keys[word], config))
    ]
    idle.check_given([keys[word] for word in passed], config)
    return passed
