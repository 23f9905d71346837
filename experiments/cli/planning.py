"""Composes the runs of a comparison, each from the overrides that apply to it."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from agents.runs.comparison import RunKey
from agents.runs.config import check_same, leaves
from agents.runs.folder import ALWAYS, UNFINISHED, has_content
from agents.runs.student import check_start, needs_start
from cli import idle
from cli.command import read
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
        values = list(config[many])
        if repeated := [value for value in values if values.count(value) > 1]:
            raise UserError(
                f"{many}: {repeated[0]} is given {values.count(repeated[0])} times; give it once"
            )
    if "resume" in given:
        raise UserError("resume: leave it out; this command always resumes where it was stopped")


def plan(config: DictConfig, overrides: list[str], folder: Path) -> dict[RunKey, DictConfig]:
    """Compose the configuration of every run from the overrides that apply to it.

    Raises:
        UserError: An override applies to no run, or a run exists with other settings.
    """
    keys: list[RunKey] = [
        (algorithm, student, seed)
        for student in config.students
        for algorithm in config.algorithms
        for seed in config.seeds
    ]
    systems = dict.fromkeys(key[:2] for key in keys)
    passed = {system: passing(overrides, *system) for system in systems}
    used = {word for words in passed.values() for word in words}
    if unused := [word for word in overrides if word not in used]:
        raise UserError(
            f"{' '.join(unused)}: none of these runs has such a key "
            "(python experiments/dagger.py --help)"
        )
    # the first beam width also evaluates the teacher
    evaluation = [
        f"evaluate.beam={config.beams[0]}",
        f"evaluate.length_penalty={config.length_penalty}",
    ]
    runs = {}
    for key in keys:
        algorithm, student, seed = key
        out = folder / f"{algorithm}-{student}-seed{seed}"
        own = [
            f"student={student}",
            f"algorithm={algorithm}",
            f"seed={seed}",
            f"out={quote(str(out))}",
            f"resume={str(has_content(out)).lower()}",
        ]
        run = read("dagger", [*passed[key[:2]], *evaluation, *own])
        if needs_start(run) and run.init is None and ("mle", student, seed) in keys:
            run.init = str(folder / f"mle-{student}-seed{seed}")
        check_start(run)
        if has_content(out) and (out / "config.yaml").is_file():
            check_same(
                out / "config.yaml", run, ALWAYS if (out / "results.json").is_file() else UNFINISHED
            )
        runs[key] = run
    return runs


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
