"""Reads the tables of ``conf/table``: the lists of ``compare.py`` and the keys of its runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from agents.runs.config import read_config
from cli.command import read
from cli.composing import literal
from cli.planning import check_lists
from cli.schema import command_keys
from textgen_env.errors import UserError, unknown

FOLDER = Path(__file__).parents[1] / "conf" / "table"


class Table(NamedTuple):
    """What a table compares.

    Attributes:
        name: the name of its file.
        title: the heading of its page.
        lists: the configuration of ``compare.py``.
        overrides: the keys of the runs.
    """

    name: str
    title: str
    lists: DictConfig
    overrides: list[str]


def read_table(name: str | None, given: dict[str, Any], overrides: Iterable[str]) -> Table:
    """Read a table; the user's values replace its own.

    Args:
        name: of a file in ``conf/table``, or a path that ends in ``.yaml``.
        given: the user's lists by key, such as ``seeds``; an empty one is not used.
        overrides: the user's keys of the runs.

    Raises:
        UserError: there is no such table, or a value in it is wrong.
    """
    known = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if name is None:
        raise UserError(f"give table=NAME: {', '.join(known)}, or a YAML file")
    path = Path(name) if name.endswith(".yaml") else FOLDER / f"{name}.yaml"
    if not path.is_file():
        if path.parent != FOLDER:
            raise UserError(f"table={name}: no such file")
        raise unknown("table", name, known)
    values: dict[str, Any] = OmegaConf.to_container(read_config(path))  # type: ignore[assignment]
    title = str(values.pop("title", path.stem))
    values |= {key: value for key, value in given.items() if value}
    lists = command_keys("compare").keys() - {"out", "overrides"}
    words = {key: f"{key}={literal(value)}" for key, value in values.items()}
    config = read("compare", [word for key, word in words.items() if key in lists])
    runs = {key: word for key, word in words.items() if key not in lists}
    runs |= {word.partition("=")[0]: word for word in overrides}
    check_lists(config, [*runs.values()])
    return Table(path.stem, title, config, [*runs.values()])
