"""The keys of ``experiments/compare.py``."""

from __future__ import annotations

from dataclasses import dataclass

from conf import BEAM, PENALTY, SEED, key
from textgen_env.errors import Range


@dataclass
class Config:
    """Compare algorithms, students and seeds that share one teacher.

    Every other key goes to the runs: see python experiments/dagger.py --help.
    """

    algorithms: list[str] = key(
        ["mle", "seqkd", "imitkd", "imitkd_full"],
        "algorithms, also module.Class; gains are relative to mle, if it is among them",
    )
    students: list[str] = key(["transformer"], "student architectures")
    seeds: list[int] = key([0], "one run per seed; several give intervals over seeds", SEED)
    beams: list[int] = key(
        [1, 5], "beam widths on the test split; gains, tests and plots use the first", BEAM
    )
    length_penalty: float = key(1.0, PENALTY, Range(0, 100))
    out: str | None = key(
        None, "folder of the table, the plots and the runs; null: runs/compare-<env>"
    )
    overrides: list[str] = key([], "keys of the runs, filled in from the rest of the command line")
