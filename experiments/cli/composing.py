"""Composes overrides into one checked configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cli import words
from cli.presets import presets, suggested
from cli.ranges import ANY
from cli.schema import GROUPS, Key, config_of, default_groups, keys, options
from cli.store import add_dotted, offer_groups, offered_groups, store
from textgen_env.errors import UserError, check_range, unknown
from textgen_env.imports import import_object, is_path

Choices = dict[str, str]  # group → name


def preset_of(command: str, given: dict[str, Any]) -> str:
    """The user's preset, or the default of the command."""
    return str(given.get("preset", getattr(config_of(command), "preset", "")))


@contextmanager
def initialized() -> Iterator[None]:
    """Initialize Hydra's compose API, inside a running job too."""
    outer, groups = GlobalHydra.instance().hydra, offered_groups()
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize(config_path=None, version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = outer
        if outer is not None:  # the next job of a sweep has the groups of its own command
            offer_groups(groups)


def choices_of(command: str, given: dict[str, Any]) -> tuple[Choices, Choices]:
    """Choose the options of the groups of ``command``; registers dotted paths.

    Args:
        command: its name.
        given: the user's values by key.

    Returns:
        The default choices, as the preset suggests them, and the choices with the user's values.

    Raises:
        UserError: A choice or the preset is unknown.
    """
    for path in given.get("imports", ()):
        import_object("class", str(path))
    defaults = dict(default_groups(command))
    chosen = {group: str(given[group]) for group in defaults if group in given}
    for group, name in chosen.items():
        if is_path(name):
            add_dotted(group, name)
        elif name not in options(group):
            raise unknown(group, name, options(group))
    if "env" in defaults:
        env = chosen.get("env", defaults["env"])
        preset = preset_of(command, given)
        if preset not in presets(env):
            raise unknown("preset", preset, presets(env))
        choices = suggested(env, preset)
        defaults |= {group: choices[group] for group in choices.keys() & defaults.keys()}
    return defaults, {**defaults, **chosen}


def compose(command: str, overrides: list[Override], originals: dict[str, Override]) -> DictConfig:
    """Compose and check the configuration of one run, in plain values.

    Args:
        command: name of the command.
        overrides: those of the run, ``hydra.*`` included.
        originals: the user's overrides by key, which in a sweep have several values.

    Raises:
        UserError: A name is unknown, or a value has another type or is out of range.
    """
    given = words.by_key(overrides)
    for key in given:
        if key in (*default_groups(command), "preset"):
            words.check_text(key, originals[key], Key("", str, ""))
    chosen = {key: override.value() for key, override in given.items()}
    defaults, choices = choices_of(command, chosen)
    known = keys(command, choices)
    for key in given:
        if key not in known and key not in choices:
            raise _unknown_key(command, key, choices) or unknown("key", key, [*known, *choices])
        if key in known:
            words.check_text(key, originals[key], known[key])
    store(command, defaults, choices, preset_of(command, chosen))
    try:
        config = plain(hydra.compose(command, words.lines(overrides)))
    except (HydraException, OmegaConfBaseException) as error:
        raise _one_line(error, given, known) from error
    check_values(given, known, config)
    return config


def _unknown_key(command: str, key: str, choices: Choices) -> UserError | None:
    """The error for a key that only other choices of its group have; None for any other key."""
    group = key.partition(".")[0]
    names = options(group) if group in choices else ()
    owners = [name for name in names if key in keys(command, {group: name})]
    if not owners:
        return None
    listed = f"{', '.join(owners[:4])} and others" if len(owners) > 4 else " or ".join(owners)
    return UserError(
        f"unknown key {key!r}: it belongs to {group}={listed}, not to {group}={choices[group]}; "
        f"leave it out, or choose {group}={owners[0]}"
    )


def register_dotted(config: DictConfig) -> None:
    """Import the dotted paths of a job, which may run in another process."""
    for path in config.get("imports", ()):
        import_object("class", path)
    for group in GROUPS:
        if isinstance(chosen := config.get(group), DictConfig) and is_path(str(chosen.get("name"))):
            add_dotted(group, chosen.name)


def plain(config: DictConfig) -> DictConfig:
    """The same values without types and interpolations; ``train.epochs`` replaces ``train.steps``.

    Raises:
        UserError: both of them are null.
    """
    content = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    result: DictConfig = OmegaConf.create(content)  # type: ignore[assignment, arg-type]
    for phase in ("train", "teacher.train"):
        training = OmegaConf.select(result, phase)
        if training and training.epochs is not None:
            training.steps = None
        elif training and training.steps is None:
            raise UserError(f"{phase}.steps=null: give {phase}.epochs or a number of steps")
    return result


def check_values(given: dict[str, Override], known: dict[str, Key], config: DictConfig) -> None:
    """Refuse a number that is out of range, and a value that is not one of the key's choices."""
    for key in given.keys() & known.keys():
        value, allowed = OmegaConf.select(config, key), known[key].allowed or ANY
        entries = value if OmegaConf.is_list(value) else [value]
        for entry in entries:
            if isinstance(entry, int | float) and not isinstance(entry, bool):
                check_range(key, entry, allowed)
            choices = list(map(show, known[key].choices))
            if entry is not None and choices and show(entry) not in choices:
                raise unknown(key, show(entry), choices)


def _one_line(error: Exception, given: dict[str, Override], known: dict[str, Key]) -> UserError:
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    key = str(getattr(cause, "full_key", "")).partition("[")[0]
    if key not in given or key not in known:
        return UserError(" ".join(str(error).partition("\n\nConfig search path")[0].split()))
    word, known_key = str(given[key].input_line), known[key]
    if "${" in word or "???" in word:
        return UserError(f"{word}: {next(iter(str(cause).splitlines()), '')}; write the value")
    kind = getattr(known_key.type, "__name__", str(known_key.type)).removesuffix(" | None")
    example = "" if known_key.default is None else f", such as {key}={show(known_key.default)}"
    if kind == "list" and "[" not in word:
        example = f", such as {key}=[{word.partition('=')[2]}]"
    return UserError(f"{word}: expected {kind}{example}")


def literal(value: Any) -> str:
    """``value`` in Hydra's grammar, from which it is parsed again."""
    if isinstance(value, str):
        return words.quote(value)
    if isinstance(value, Sequence):  # also a list of OmegaConf
        return f"[{','.join(map(literal, value))}]"
    return show(value)


def show(value: Any) -> str:
    """``value`` as a user writes it on the command line."""
    if isinstance(value, list):
        return f"[{','.join(map(show, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {show(item)}" for key, item in value.items()) + "}"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
