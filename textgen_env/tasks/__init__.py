"""One file a task.  A task module has ``ID`` and ``load(**options) -> Task``; nothing else has to know it.

Which command-line settings suit a task (``preset=quick|paper``) says ``experiments/conf/preset/ID.yaml``, or the
module's own ``PRESETS``, a dict of the same form.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

__all__ = ["tasks"]


@cache
def tasks() -> dict[str, ModuleType]:
    """``{id: module}`` of every task."""
    modules = (
        importlib.import_module(f"{__name__}.{info.name}")
        for info in pkgutil.iter_modules(__path__)
    )
    return {module.ID: module for module in modules if hasattr(module, "ID")}
