"""A run records the hashes of its teacher's files, so that a command may name another place."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from agents.model import WEIGHTS
from agents.policies.sanitized_folder import opened_model
from agents.runs.config import read_config
from agents.runs.recorded import recorded_files
from agents.runs.task import STUDENT, pretrained_name, recorded_name
from textgen_env.data.files import load_json, save_json
from textgen_env.data.outputs import sha256
from textgen_env.errors import UserError

HASHES = "teacher.json"
SCHEMA = {"*": str}


def record_hashes(folder: Path, config: DictConfig) -> None:
    """Record the hashes of a teacher with a path; those of the start of a run stay."""
    if config.teacher.path not in (None, STUDENT) and not (folder / HASHES).is_file():
        save_json(folder / HASHES, file_hashes(config))


def file_hashes(config: DictConfig) -> dict[str, str]:
    """``{name: SHA-256}`` of the weights of ``teacher.path``, or of its recorded outputs."""
    if name := pretrained_name(config):
        with opened_model(name, weights=True) as (_, folder):
            return {path.name: sha256(path) for path in sorted(folder.glob("*.safetensors"))}
    if name := recorded_name(config):
        return {split: sha256(path) for split, path in recorded_files(name).items()}
    return {WEIGHTS.name: sha256(Path(config.teacher.path, WEIGHTS))}


def moved_keys(folder: Path, config: DictConfig) -> tuple[str, ...]:
    """``("teacher.path",)`` if ``config`` names another place of the teacher of the run ``folder``.

    Raises:
        UserError: Another teacher is there.
    """
    path = folder / "config.yaml"
    before, now = OmegaConf.select(read_config(path), "teacher.path"), config.teacher.path
    given = not {before, now} & {None, STUDENT}
    if before == now or not given or not (folder / HASHES).is_file():
        return ()
    if load_json(folder / HASHES, SCHEMA) != file_hashes(config):
        raise UserError(
            f"{path} holds another run: its teacher, {before}, had other weights than "
            f"teacher.path={now}; give a copy of it, or choose another out="
        )
    return ("teacher.path",)


def set_place(folder: Path, config: DictConfig, path: str) -> None:
    """Let ``config``, of the finished run in ``folder``, take its teacher from ``path``.

    Raises:
        UserError: The run has no teacher with a place, or another teacher is there.
    """
    before, known = config.teacher.path, (folder / HASHES).is_file()
    if before in (None, STUDENT):
        teacher = "its task's exact expert" if before is None else "its student's base model"
        raise UserError(f"teacher.path={path} does not apply: {folder} has {teacher}; leave it out")
    if not known and before != path:
        raise UserError(
            f"{folder} has no {HASHES}, the hashes of a teacher that may move: leave teacher.path "
            f"out, and keep its teacher in {before}"
        )
    config.teacher.path = path
    if known and load_json(folder / HASHES, SCHEMA) != file_hashes(config):
        raise UserError(
            f"{folder}: its teacher, {before}, had other weights than teacher.path={path}; "
            "give a copy of it"
        )


def check_place(folder: Path, config: DictConfig) -> None:
    """UserError if the run or the outputs that taught the run in ``folder`` are gone."""
    path, outputs = config.teacher.path, recorded_name(config)
    if path in (None, STUDENT) or pretrained_name(config):
        return
    places = recorded_files(outputs).values() if outputs else [Path(path)]
    if all(place.exists() for place in places):
        return
    advice = "rerun the command with resume=true to train it again"
    if (folder / HASHES).is_file():
        advice = "if it was moved, add teacher.path= with its new place"
    raise UserError(f"{folder}: its teacher {path} is missing; {advice}")
