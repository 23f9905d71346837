"""The keys of ``experiments/compare.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from conf import BEAM, PENALTY, SEED, key
from textgen_env.errors import Range


@dataclass
class Config:
    """Compare algorithms, students, settings and seeds that share one teacher.

    An algorithm or a student can stand in the list several times, with other settings:
    'algorithms=[mle,imitkd,{name: imitkd, rate: 0.1}]', 'students=[gru,{name: gru, width: 64}]'.

    Every other key goes to the runs (see python experiments/dagger.py --help), and its values are
    compared if there are several: train.lr=0.001,0.003 student.width=64,128.
    """

    algorithms: list[Any] = key(
        ["mle", "seqkd", "imitkd", "imitkd_full"],
        "algorithms, also module.Class or {name: …, SETTING: …}; gains are relative to mle, if it "
        "is among them",
    )
    students: list[Any] = key(
        ["transformer"], "student architectures, also module.Class or {name: …, SETTING: …}"
    )
    seeds: list[int] = key([0], "one run per seed; several give intervals over seeds", SEED)
    beams: list[int] = key(
        [1, 5], "beam widths on the test split; gains, tests and plots use the first", BEAM
    )
    length_penalty: float = key(1.0, PENALTY, Range(0, 100))
    out: str | None = key(
        None, "folder of the table, the plots and the runs; null: runs/compare-<env>"
    )
    overrides: list[str] = key([], "keys of the runs, filled in from the rest of the command line")
