"""The learners: policies, generation, losses, algorithms, training, evaluation and reports.

The library in a few lines; each name is imported when it is first used::

    import agents, textgen_env

    task = textgen_env.load_task("Copy-v0")
    teacher = agents.train(agents.Transformer(task), task, algorithm="mle", steps=500)
    student = agents.distill(teacher, agents.GRU(task, width=64), task, steps=500)
    student.generate(["a b c"])
    student.save("folder")
    agents.load("folder")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.algorithms import Algorithm
    from agents.api import distill, evaluate, load, train
    from agents.architectures import GRU, LSTM, SRU, Transformer, build_model
    from agents.model import Model

__all__ = [
    "GRU",
    "LSTM",
    "SRU",
    "Algorithm",
    "Model",
    "Transformer",
    "build_model",
    "distill",
    "evaluate",
    "load",
    "train",
]

_MODULES = {
    "agents.algorithms": ("Algorithm",),
    "agents.api": ("distill", "evaluate", "load", "train"),
    "agents.architectures": ("GRU", "LSTM", "SRU", "Transformer", "build_model"),
    "agents.model": ("Model",),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'agents' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
