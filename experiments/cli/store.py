"""Registers the configs of commands, groups and presets with Hydra."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, nodes

from cli import schema
from cli.presets import nested, settings_of
from cli.schema import GROUPS, Key

NODES = {
    int: nodes.IntegerNode,
    float: nodes.FloatNode,
    bool: nodes.BooleanNode,
    str: nodes.StringNode,
}


def add_dotted(group: str, name: str) -> None:
    """Register ``name``, a dotted path from the command line, as a choice of ``group``."""
    if name not in schema.options(group):
        offer_groups({*offered_groups(), group})
        schema.add_option(group, name)
        _store_option(group, name)


def store(command: str, defaults: dict[str, str], choices: dict[str, str], preset: str) -> None:
    """Register the config of ``command`` with Hydra.

    Args:
        command: name of the command.
        defaults: default choices of its groups.
        choices: choices of a run, whose preset is registered too.
        preset: preset of the run.
    """
    offer_groups(schema.default_groups(command))
    listed: list[Any] = [{group: name} for group, name in defaults.items()]
    listed.append("_self_")
    if defaults:
        listed.append({"preset": schema.config_of(command).preset})
        option = "-".join(f"${{{key}}}" for key in [*defaults, "preset"])
        listed.append({"optional preset/run": option})
        put = ConfigStore.instance().store
        put(group="preset", name=preset, node={"preset": preset}, package="_global_")
        node = nested(settings_of(command, preset, choices))
        put("-".join([*choices.values(), preset]), node, group="preset/run", package="_global_")
    listed += [{"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}]
    # a plain run leaves no folder behind; a sweep has one folder per job
    hydra = {"run": {"dir": "."}, "output_subdir": None, "job": {"name": command}}
    node = {"defaults": listed, **_nodes(schema.command_keys(command)), "hydra": hydra}
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
        for name in schema.options(group):
            _store_option(group, name)
    return {group: ConfigStore.instance().repo[group] for group in GROUPS}


def _store_option(group: str, name: str) -> None:
    node = {"name": nodes.StringNode(name), **_nodes(schema.option_keys(group, name))}
    ConfigStore.instance().store(group=group, name=name, node=DictConfig(node))


def _nodes(known: dict[str, Key]) -> dict[str, Any]:
    """Hydra's nodes of the keys, which accept only values of the key's type."""
    return nested({name: _node(key) for name, key in known.items()})


def _node(key: Key) -> Any:
    members = get_args(key.type) if isinstance(key.type, UnionType) else (key.type,)
    kind, optional = members[0], NoneType in members
    if get_origin(kind) is list:
        element = get_args(kind)[0]
        return ListConfig(key.default, element_type=element, ref_type=kind, is_optional=optional)
    if kind in NODES:
        return NODES[kind](key.default, is_optional=optional)
    return nodes.AnyNode(key.default)
