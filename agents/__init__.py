"""The learners: policies, generation, losses, algorithms, training, evaluation and reports.

The library in a few lines; each name is imported when it is first used::

    import agents, textgen_env
    task = textgen_env.load_task("G2P-v0")
    teacher = agents.train(agents.Transformer(task, layers=3), task, algorithm="mle", steps=3000)
    student = agents.GRU(task, width=128)
    student = agents.distill(teacher, student, task, algorithm="imitkd_full", steps=2000)
    student.generate(["knowledge"])
    student.save("folder")
    agents.load("folder").generate(["knowledge"])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.algorithms import Algorithm
    from agents.api import distill, evaluate, load, train
    from agents.architectures import GRU, LSTM, SRU, HuggingFace, Transformer, build_model
    from agents.model import Model

__all__ = [
    "GRU",
    "LSTM",
    "SRU",
    "Algorithm",
    "HuggingFace",
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
    "agents.architectures": ("GRU", "LSTM", "SRU", "HuggingFace", "Transformer", "build_model"),
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
