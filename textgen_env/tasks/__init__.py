"""One file a task.  A task module has ``ID``, ``PRESETS`` and ``load(**options) -> Task``; nothing else has to know it.

``PRESETS``: ``{"quick": {…}, "paper": {…}}``, each the command-line keys that suit the task; what stands under a key like
``"student=gru|lstm"`` or ``"algorithm.beta=exponential"`` holds for these choices only.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType


@cache
def tasks() -> dict[str, ModuleType]:
    """``{id: module}`` of every task."""
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    return {module.ID: module for module in modules if hasattr(module, "ID")}
