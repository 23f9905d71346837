"""Continues a run from its folder: ``resume=true out=FOLDER`` alone stands for all its settings."""

from __future__ import annotations

from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from agents.runs.config import is_outside, leaves, read_config
from agents.runs.folder import has_content
from agents.training.saving import LAST
from cli import words
from cli.composing import compose, initialized, literal, show
from cli.schema import default_groups, keys
from textgen_env.errors import UserError

OWN = ("out", "resume")  # of the command, never of the folder
INSTEAD = {"train.steps": "train.epochs", "train.epochs": "train.steps"}  # either of them


def continued(command: str, given: list[Override]) -> list[Override]:
    """``given``, preceded by the settings of the run that it resumes, except those that it names.

    Raises:
        UserError: There is no run in the folder, its settings are invalid or differ in a group, or
            they name code that ``given`` does not repeat.
    """
    own = words.by_key(given)
    resume = own["resume"].value() if "resume" in own else False
    if "resume" not in keys(command, {}) or resume not in (True, "auto"):
        return given
    if "out" not in own:
        raise UserError(f"resume={show(resume)}: name the folder of the run with out=")
    folder = Path(str(own["out"].value()))
    path = folder / "config.yaml"
    if not path.is_file() or (resume == "auto" and not has_content(folder)):
        if resume is True:
            raise UserError(f"resume=true: there is no run in {folder}")
        return given
    saved = _overrides(command, read_config(path), own, path)
    choices = [own[key] for key in (*default_groups(command), "preset") if key in own]
    with initialized():
        try:
            compose(command, [*saved, *choices], words.by_key([*saved, *choices]))
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    return [*saved, *given]


def _overrides(
    command: str, config: DictConfig, own: dict[str, Override], path: Path
) -> list[Override]:
    """The settings of a run as overrides, without those that the command line gives itself."""
    groups, folder = default_groups(command), path.parent
    saved = []
    for key, value in leaves(config).items():
        group = key.removesuffix(".name")
        key = group if group in groups else key
        if key in own and key in groups and show(own[key].value()) != show(value):
            raise UserError(
                f"{path} holds another run: {key}={value} there, {own[key].value()} here; "
                "choose another out="
            )
        if key in own or key in OWN or INSTEAD.get(key) in own:
            continue
        if is_outside(key, value) and not (key == "student.path" and (folder / LAST).is_file()):
            raise UserError(
                f"{path} names {key}={value}, which is not part of this project, and a run folder "
                f"imports and downloads nothing: repeat {key}={value} on the command line"
            )
        saved.append(f"{key}={literal(value)}")
    return words.parse(saved)
