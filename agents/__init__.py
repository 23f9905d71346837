"""Learners for the environment :mod:`textgen_env`: policies, losses, algorithms and the trainer.

Importing this loads none of the folders; import what you use, for example ``agents.model``.
"""

__all__ = [
    *("algorithms", "discovery", "estimators", "evaluation", "generation", "interop", "losses"),
    *("model", "policies", "reporting", "runs", "theory", "training"),
]
