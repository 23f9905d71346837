"""Finds other packages named ``agents``, such as that of openai-agents, which hide ours.

Installed into one environment, two such packages share a folder: the later one overwrites files of
the earlier one. Nothing can be imported to find out, so this module looks at files only; it takes
about a millisecond.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

OURS = Path(__file__).parents[1] / "agents"
MARK = b"textgen_env"  # in our agents/__init__.py


def describe_namesakes() -> str:
    """One line about another package named ``agents``; empty if there is none."""
    return describe_foreign_agents() or _describe_others()


def describe_foreign_agents() -> str:
    """One line if ``import agents`` does not give our package; otherwise empty."""
    spec = find_spec("agents")
    used = Path(spec.origin).parent if spec and spec.origin else None
    if not used or _is_ours(used):
        return ""
    return (
        f"`import agents` gives the package of {_owner()} in {used}, not that of textgen-env: "
        "use an environment without it, or uninstall both and install textgen-env again"
    )


def _describe_others() -> str:
    folders = {Path(entry).resolve() / "agents" for entry in sys.path}
    others = [str(folder) for folder in folders if not _is_ours(folder)]
    if _is_mixed(OURS):
        others.append(str(OURS))
    if not others:
        return ""
    return (
        f"{_owner()} also has a package named agents, in {min(others)}; `import agents` gives that "
        "of textgen-env: use an environment without the other one"
    )


def _is_ours(folder: Path) -> bool:
    """Whether ``folder`` is our package, or no package."""
    path = folder / "__init__.py"
    return not os.path.isfile(path) or MARK in path.read_bytes()


def _is_mixed(folder: Path) -> bool:
    """Whether an installed package has files or folders that are not in its list of files."""
    records = [*folder.parent.glob("textgen_env-*.dist-info/RECORD")]
    if not records or not folder.is_dir():
        return False
    lines = records[0].read_text(encoding="utf-8").splitlines()
    listed = {line.split(",")[0].split("/")[1] for line in lines if line.startswith("agents/")}
    return not {path.name for path in folder.iterdir()} <= {*listed, "__pycache__"}


def _owner() -> str:
    """The other distribution; slow, so it is only called for a message."""
    owners = {*packages_distributions().get("agents", [])} - {"textgen-env"}
    return ", ".join(sorted(owners)) or "another project"
