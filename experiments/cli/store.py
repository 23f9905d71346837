"""Registers the structured configs of commands, groups and presets with Hydra."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf, StringNode

from cli.presets import entries, nested, nodes
from cli.schema import GROUPS, add_option, config_of, default_groups, options, structured


def add_dotted(group: str, name: str) -> None:
    """Register ``name``, a dotted path from the command line, as a choice of ``group``."""
    if name not in options(group):
        offer_groups({*offered_groups(), group})
        add_option(group, name)
        _store_option(group, name)


def store(command: str, defaults: dict[str, str], choices: dict[str, str], preset: str) -> None:
    """Register the config of ``command`` with Hydra.

    Args:
        command: name of the command.
        defaults: default choices of its groups.
        choices: choices of a run, whose preset is registered too.
        preset: preset of the run.
    """
    offer_groups(default_groups(command))
    listed: list[Any] = [{group: name} for group, name in defaults.items()]
    listed.append("_self_")
    if defaults:
        listed.append({"preset": config_of(command).preset})
        listed += [{f"optional preset/{group}": option} for group, option in entries(command)]
        put = ConfigStore.instance().store
        put(group="preset", name=preset, node={"preset": preset}, package="_global_")
        for group, name, settings in nodes(command, preset, choices):
            put(name, nested(settings), group=f"preset/{group}", package="_global_")
    listed += [{"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}]
    # a plain run leaves no folder behind; a sweep has one folder per job
    hydra = {"run": {"dir": "."}, "output_subdir": None, "job": {"name": command}}
    node = {"defaults": listed, **_typed(config_of(command)), "hydra": hydra}
    ConfigStore.instance().store(name=command, node=node)


def offer_groups(groups: Collection[str]) -> None:
    """Register these groups and no others: Hydra would take a key of such a name for the group."""
    registered = ConfigStore.instance().repo
    for group, choices in _groups().items():
        registered.pop(group, None)
        if group in groups:
            registered[group] = choices


def offered_groups() -> list[str]:
    """The groups that are registered now."""
    return [group for group in GROUPS if group in ConfigStore.instance().repo]


@cache
def _groups() -> dict[str, Any]:
    """The nodes of every choice of every group."""
    for group in GROUPS:
        for name in options(group):
            _store_option(group, name)
    return {group: ConfigStore.instance().repo[group] for group in GROUPS}


def _store_option(group: str, name: str) -> None:
    node = {"name": StringNode(name), **_typed(structured(group, name))}
    ConfigStore.instance().store(group=group, name=name, node=DictConfig(node))


def _typed(cls: type) -> dict[str, Any]:
    """The nodes of a structured config, with their types, in a dict that accepts other keys."""

    def untyped(config: DictConfig) -> dict[str, Any]:
        nodes = {str(key): config._get_node(key) for key in config}
        return {
            key: untyped(node) if isinstance(node, DictConfig) else node
            for key, node in nodes.items()
        }

    return untyped(OmegaConf.structured(cls))
