"""The folder of one run: its name, what it may already hold, and the files every run has."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from agents.runs.locks import LOCK, locked
from agents.training.trainer import Interrupted
from command_line import leaves
from textgen_env.data.files import read_text, write_atomically
from textgen_env.errors import UserError

# keys that a run may be given anew: at any time; once it is finished, to be judged again; before that, to go on
ALWAYS = ("out", "resume", "threads", "workers", "teacher.compile")
FINISHED = (*ALWAYS, "evaluate.")
UNFINISHED = (*FINISHED, "train.lr", "train.clip")
MOST_SETTINGS, DEEPEST_SETTING = 1 << 16, 8  # characters of a config.yaml, and lists within keys

# The kind of every value that is read from a results.json.  "key?": it may be missing; "*": every other key.
NUMBER, KNOWN = int | float, int | float | None
RESULTS: dict[str, Any] = {
    "corpus?": {"name": str, "source": str, "fingerprint": str},
    "teacher?": {"path": str | None, "parameters?": KNOWN},
    "student?": {"parameters": KNOWN},
    "scores?": {"*": {"signature?": str, "preprocessing?": str, "signatures?": {"*": str}, "*": KNOWN}},
    "speed?": {"speedup": KNOWN, "device?": str, "precision": str, "*": KNOWN},
    "cost?": {"seconds": NUMBER, "validation_seconds?": NUMBER, "*": KNOWN},
    "profile?": {"*": NUMBER},
    "versions?": {"*": str},
    "exported?": {
        "*": [{"exported_tokens_per_second": NUMBER, "batch_size": int, "threads": int, "device": str, "precision": str}]
    },
}
LARGEST = 10**18  # number in a results.json


@contextmanager
def locked_folder(config: DictConfig) -> Iterator[Path]:
    """The run folder, with ``config.yaml`` in it, locked as long as the run lasts.

    UserError where it holds something else, or another run holds the lock.
    """
    if config.resume and not config.out:
        raise UserError("resume=true: name the folder of the run with out=")
    config.out = config.out or str(unused(_name(config)))
    folder = Path(config.out)
    _check_folder(folder, config)  # before the lock makes the folder
    with locked(folder):
        write_atomically(folder / "config.yaml", OmegaConf.to_yaml(config).encode())
        yield folder


def _check_folder(folder: Path, config: DictConfig) -> None:
    path = folder / "config.yaml"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"out={folder} is a file; name a folder")
    if begun(folder):
        if not path.is_file():
            raise UserError(f"{folder} is not empty and holds no run: choose another out=")
        if not config.resume:
            raise UserError(f"{folder} holds a run: continue it with resume=true, or choose another out=")
    elif config.resume and not path.is_file():
        raise UserError(f"resume=true: no run in {folder}")
    if config.resume:
        check_same(path, config, FINISHED if (folder / "results.json").is_file() else UNFINISHED)


def read_config(path: Path) -> DictConfig:
    """The settings in ``path``, a run's ``config.yaml``: plain values, as this project writes them.

    The folder may be from the net.  What YAML or OmegaConf would fill in (tags, aliases, and
    ``${…}``, which can read the environment) is no setting, and a UserError.
    """
    text = read_text(path)
    if len(text) > MOST_SETTINGS:
        raise UserError(f"{path} is no run's settings: it has {len(text):,} characters, at most {MOST_SETTINGS:,} are read")
    depth = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            filled_in = getattr(event, "tag", None) or "${" in getattr(event, "value", "")
            if filled_in or isinstance(event, yaml.AliasEvent) or depth > DEEPEST_SETTING:
                where = f"{path}:{event.start_mark.line + 1}"
                raise UserError(
                    f"{where}: a tag, an alias, ${{…}} or too deep; a run's settings are plain values: write the value"
                )
        config = OmegaConf.create(text)
    except (YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        why = next(iter(str(error).splitlines()), "")
        raise UserError(f"{path} is damaged ({why}): restore a copy; or delete {path.parent} and start again") from error
    if not isinstance(config, DictConfig):
        raise UserError(f"{path} is damaged (no keys in it): restore a copy; or delete {path.parent} and start again")
    return config


def read_results(path: Path) -> dict[str, Any]:
    """What is in ``path``, a run's ``results.json``; UserError where it is torn or a value not of its kind."""
    try:
        found = json.loads(path.read_bytes())
        _check_kind(found, RESULTS, "results")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        remedy = f"delete it and repeat the run's command with out={path.parent} resume=true"
        raise UserError(f"{path} is damaged ({error}): {remedy}") from error
    return found  # type: ignore[no-any-return]


def _check_kind(found: Any, kind: Any, where: str) -> None:
    """ValueError unless ``found`` is of ``kind``: a type, or, of an object or a list, the kinds of what is in it."""
    fits = isinstance(found, type(kind) if isinstance(kind, dict | list) else kind) and not isinstance(found, bool)
    if not fits or (isinstance(found, int | float) and not abs(found) < LARGEST):
        raise ValueError(f"{where} is {json.dumps(found)[:20]}")
    if isinstance(kind, list):
        for each in found:
            _check_kind(each, kind[0], where)
    if isinstance(kind, dict):
        if missing := [key for key in kind if key[-1] not in "?*" and key not in found]:
            raise ValueError(f"{where} has no {missing[0]}")
        for key, value in found.items():
            expected = kind.get(key) or kind.get(f"{key}?") or kind.get("*")
            if expected is not None:
                _check_kind(value, expected, f"{where}.{key}")


def begun(folder: Path) -> bool:
    """Whether there is anything to lose in it: a run that failed at its start leaves a ``config.yaml`` and no more."""
    return folder.exists() and any(entry.name not in ("config.yaml", LOCK) for entry in folder.iterdir())


def made_folder(out: str) -> Path:
    """The folder ``out``, made before the work rather than after it; what it holds already may be written anew."""
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out={out}: {error.strerror}; name a folder that can be written") from error
    return folder


def how_to_go_on(script: str, words: list[str], folder: Path) -> str:
    """The command that continues this run."""
    kept = [word for word in words if word.partition("=")[0] not in ("out", "resume")]
    return shlex.join(["python", script, *kept, f"out={folder}", "resume=true"])


def interrupted(stop: BaseException, again: str) -> Interrupted:
    """What a command raises when a signal stopped it; ``again`` is the command that continues."""
    first = (str(stop) or "interrupted").splitlines()[0]
    return Interrupted(f"{first}\ngo on with: {again}", getattr(stop, "number", signal.SIGINT))


def unused(name: str) -> Path:
    """``runs/name``, with a number behind it if that is taken."""
    candidates = chain([name], (f"{name}-{number}" for number in count(2)))
    return next(folder for folder in (Path("runs") / candidate for candidate in candidates) if not folder.exists())


def _name(config: DictConfig) -> str:
    return f"{config.env.name}-{config.algorithm.name}-{config.student.name}-seed{config.seed}"


def check_same(path: Path, config: DictConfig, free: tuple[str, ...]) -> None:
    """UserError unless ``path``, a run's ``config.yaml``, says what ``config`` does; what starts like ``free`` may differ."""
    old, new = ({key: "null" if v is None else v for key, v in leaves(each).items()} for each in (read_config(path), config))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key) and not key.startswith(free):
            raise UserError(f"{path} holds another run: {key}={old.get(key)} there, {new.get(key)} here; choose another out=")
