"""``key=value`` overrides → one checked configuration; one line and an exit code for every mistake.

Hydra composes the groups; the task's preset overrides them, and the user's words override both.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import openmp  # noqa: F401  (before torch)

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.table import Column, Table
from rich.text import Text

import checks
from agents.runs.config import leaves
from agents.training import signals
from options import Groups, groups, help_of, store
from textgen_env.errors import UserError, unknown
from textgen_env.tasks import tasks
from textgen_env.terminal import Terminal, console

CONF = Path(__file__).parent / "conf"

# A default of null does not show the type: these are numbers, all others text.
NUMBERS: dict[str, type] = {
    **dict.fromkeys(("rows", "steps", "threads", "workers", "decoder_layers", "limit_offset"), int),
    **dict.fromkeys(("gamma", "limit_ratio", "rate"), float),
}


def run(main: Callable[..., None], script: str, passes_on: bool = False) -> None:
    """Run ``main`` with the configuration of the command line.

    A user's mistake, a full disk too, exits with 2, Ctrl-C with 130, SIGTERM with 143, SIGHUP with 129, each with one line.

    Args:
        main: of the command.
        script: the command's name.
        passes_on: words with keys of other commands are ``main``'s second argument instead of a mistake.
    """
    code = 2
    with signals.handle_signals(signals.raise_interrupted):
        try:
            checks.check_single_process(os.environ)
            _run(main, script, passes_on)
            return
        except UserError as error:
            _print(f"error: {error}")
        except OSError as error:  # a full disk, a folder that was deleted or may not be written
            where = f"{error.filename}: " if error.filename else ""
            _print(f"error: {where}{error.strerror or error}")
        except KeyboardInterrupt as error:
            _print(str(error) or "interrupted")
            code = signals.exit_code(error)
    sys.exit(code)


def _run(main: Callable[..., None], script: str, passes_on: bool) -> None:
    keys = leaves(read(script, [])) if passes_on else {}
    words = [word for word in sys.argv[1:] if word not in ("--help", "-h")]
    own = [word for word in words if word.partition("=")[0] in keys] if passes_on else words
    if len(words) < len(sys.argv) - 1:
        Terminal().print(help_table(script, own))
    elif passes_on:
        main(read_given(script, own), [word for word in words if word not in own])
    else:
        main(read_given(script, own))


def _print(text: str) -> None:
    with suppress(OSError):  # the terminal may be gone, or a file on the full disk
        console.print(text, markup=False, soft_wrap=True)


def read(script: str, words: list[str]) -> DictConfig:
    """The configuration of ``script`` for the overrides ``words``.

    Raises:
        UserError: a name is unknown, a value of another type, or a number out of range.
    """
    given = _parse(words)
    custom = given.pop("algorithm._target_", None)
    if custom is not None:
        if "." not in custom[0]:
            raise UserError(
                f"algorithm._target_={custom[0]}: no class is named; give module.Class of an importable file"
            )
        given["algorithm"] = [*given.get("algorithm", []), *custom]
    made = _groups(script, None if custom is None else custom[0])
    store(made)
    own = {key: _once(key, texts) for key, texts in given.items() if key in made or key == "preset"}
    preset = _preset(own, _compose(script, {})) if "env" in made else {}
    chosen = {key: value for key, value in {**preset, **own}.items() if key in made}
    for group, name in chosen.items():
        if name not in made[group]:
            raise unknown(group, name, made[group])
    config = _compose(script, chosen)
    valid = leaves(config)
    chosen = {**valid, **{key: texts[-1] for key, texts in given.items() if key not in made}}
    for key, value in applying(preset, chosen).items():
        if key in valid:
            OmegaConf.update(config, key, value)
    for key, texts in given.items():
        if key not in made:
            value = _checked(key, texts, valid, made)
            checks.check_numbers(key, value)
            OmegaConf.update(config, key, value)
    return config


def read_given(script: str, words: list[str]) -> DictConfig:
    """``read`` for a user's words; UserError also for a key that has no effect beside the others."""
    config = read(script, words)
    checks.check_given([word.partition("=")[0] for word in words], config)
    return config


def passing(script: str, words: list[str], algorithm: str, student: str) -> list[str]:
    """Those of a user's ``words`` that have an effect on a run of ``algorithm`` and ``student``.

    Keys that another algorithm or student may have are left out; one that none has is a UserError.
    """
    choice = [chosen_algorithm(algorithm), f"student={student}"]
    keys = {word: word.partition("=")[0] for word in words}
    shaping = [word for word in words if keys[word] in ("env", "preset", "teacher")]
    valid = leaves(read(script, [*shaping, *choice]))
    known = [
        word
        for word in words
        if not word.startswith(("algorithm.", "student.")) or keys[word] in valid
    ]
    config = read(script, [*known, *choice])
    of_others = [
        word
        for word in known
        if checks.of_algorithm(keys[word]) and checks.why_idle(keys[word], config)
    ]
    passed = [word for word in known if word not in of_others]
    checks.check_given([keys[word] for word in passed], config)
    return passed


def chosen_algorithm(name: str) -> str:
    """The word that chooses an algorithm: one of the project's own, or ``module.Class``."""
    return f"algorithm._target_={name}" if "." in name else f"algorithm={name}"


def help_table(script: str, words: list[str]) -> Table:
    """Every key of the composed configuration, its value, and what it means."""
    config = read_given(script, words)
    algorithm = config.algorithm.name if "algorithm" in config else ""
    made = _groups(script, algorithm if "." in algorithm else None)
    chosen = {group: config[group].name for group in made}
    lines = help_of(made, chosen, CONF / f"{script}.yaml")
    title = Text(f"python experiments/{script}.py [key=value …]")
    columns = (
        Column("key", no_wrap=True),
        Column("value", overflow="fold"),
        Column("meaning", overflow="fold"),
    )
    table = Table(*columns, box=None, title=title, title_justify="left")
    for key, value in {**chosen, **leaves(config)}.items():
        if not key.endswith(".name"):
            cells = (key, "null" if value is None else str(value), lines.get(key, ""))
            table.add_row(*map(Text, cells))
    return table


def _parse(words: list[str]) -> dict[str, list[str]]:
    """``{key: its values as text}``."""
    given: dict[str, list[str]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.replace(".", "").replace("_", "").isalnum():
            raise UserError(f"cannot read {word!r}: write key=value (--help lists the keys)")
        if "${" in text or text == "???":
            raise UserError(f"{word}: nothing is filled in for {text} here; write the value itself")
        checks.check_empty(key, text)
        given.setdefault(key, []).append(text)
    return given


def _once(key: str, texts: list[str]) -> str:
    if len(texts) > 1:
        raise UserError(f"{key} is given {len(texts)} times; give it once")
    return texts[0]


def _groups(script: str, custom_algorithm: str | None) -> Groups:
    """Of the groups that the code makes, those in the defaults list of the script's YAML; a script may have none."""
    listed = OmegaConf.to_container(OmegaConf.load(CONF / f"{script}.yaml")).get("defaults", [])
    named = {group for entry in listed if isinstance(entry, dict) for group in entry}
    return (
        {group: options for group, options in groups(custom_algorithm).items() if group in named}
        if named
        else {}
    )


def _compose(script: str, chosen: dict[str, str]) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        return compose(script, overrides=[f"{group}={name}" for group, name in chosen.items()])


def _preset(given: dict[str, str], default: DictConfig) -> dict[str, Any]:
    known, name = tasks(), given.get("env", default.env.name)
    if name not in known:
        raise unknown("env", name, known)
    valid, preset = presets(name), given.get("preset", default.preset)
    if preset not in valid:
        raise unknown("preset", preset, valid)
    return valid[preset]


def presets(env: str) -> dict[str, dict[str, Any]]:
    """``{preset: its settings}`` of a task: the module's own ``PRESETS``, else ``conf/preset/ENV.yaml``.

    Under ``like`` stands another task, whose preset of the same name comes first.
    """
    if own := getattr(tasks()[env], "PRESETS", None):
        return own
    named: dict[str, dict[str, Any]] = OmegaConf.to_container(
        OmegaConf.load(CONF / "preset" / f"{env}.yaml")
    )  # type: ignore[assignment]
    return {
        name: (presets(settings.pop("like"))[name] if "like" in settings else {}) | settings
        for name, settings in named.items()
    }


def applying(preset: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """The preset's settings that apply to ``chosen``, ``{dotted key: value}``.

    Those under ``group=name|name`` or ``key=value|value`` apply only where one of these was chosen.
    """
    flat: dict[str, Any] = {}
    for key, value in preset.items():
        name, _, values = key.partition("=")
        if not values:
            flat[key] = value
        elif chosen.get(name if "." in name else f"{name}.name") in values.split("|"):
            flat |= value
    return flat


def _checked(key: str, texts: list[str], valid: dict[str, Any], made: Groups) -> Any:
    """The value of ``key`` in the type of its default ``valid[key]``; a key with a list may be written several times."""
    if key not in valid or key.endswith(".name"):
        raise unknown("key", key, [name for name in (*valid, *made) if not name.endswith(".name")])
    default = valid[key]
    if not isinstance(default, ListConfig):
        return _typed(key, _once(key, texts), default)
    entries = [entry for text in texts for entry in _entries(key, text)]
    return [_typed(key, entry, default[0] if len(default) else "") for entry in entries]


def _entries(key: str, text: str) -> list[str]:
    """The entries of ``[a, b]`` as text; any other text is one entry."""
    try:
        value = yaml.load(text, yaml.BaseLoader) if text.startswith("[") else text
    except yaml.YAMLError:
        value = text
    entries = [str(entry) for entry in value] if isinstance(value, list) else [text]
    for entry in entries:
        checks.check_empty(key, entry)
    return entries


def _typed(key: str, text: str, default: Any) -> Any:
    """``text`` in the type of ``default``: text stays as it is, everything else is YAML."""
    kind = type(default)
    if default is None:
        if text == "null":
            return None
        kind = NUMBERS.get(key.rpartition(".")[2], str)
    if kind is str:
        return text
    value = _yaml(text)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    such = "" if default is None else f", such as {key}={default}"
    raise UserError(f"{key}={text}: {kind.__name__} expected{such}")


def _yaml(text: str) -> Any:
    """The value in a YAML file, where Hydra's ``1e-3`` is a number; the text where it is not YAML."""
    try:
        return OmegaConf.to_container(OmegaConf.create(f"value: {text}"))["value"]  # type: ignore[call-overload, index]
    except (yaml.YAMLError, OmegaConfBaseException, ValueError):
        return text
