"""A run records the hashes of its teacher's files, so that a resume may name another place."""

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
