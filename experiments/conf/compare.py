"""The keys of ``experiments/compare.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from conf import Beam, Penalty, Seed


@dataclass(frozen=True)
class Config:
    """Compare algorithms, students, settings and seeds that share one teacher.

    An algorithm or a student can stand in the list several times, with other settings:
    'algorithms=[mle,imitkd,{name: imitkd, rate: 0.1}]', 'students=[gru,{name: gru, width: 64}]'.

    The same command again resumes an interrupted comparison: finished runs are not repeated.

    Every other key goes to the runs (see python experiments/dagger.py --help), and its values are
    compared if there are several: train.lr=0.001,0.003 student.width=64,128.

    Args:
        algorithms: algorithms, also module.Class or {name: …, SETTING: …}; gains are relative to
            mle, if it is among them
        students: student architectures, also module.Class or {name: …, SETTING: …}
        seeds: one run per seed; several give intervals over seeds
        beams: beam widths on the test split; gains, tests and plots use the first
        length_penalty: length penalty of beam search: scores are divided by length ** penalty
        out: folder of the table, the plots and the runs; null: runs/compare-<env>
    """

    passes: ClassVar[str] = "all"
    algorithms: tuple[Any, ...] = ("mle", "seqkd", "imitkd", "imitkd_full")
    students: tuple[Any, ...] = ("transformer",)
    seeds: tuple[Seed, ...] = (0,)
    beams: tuple[Beam, ...] = (1, 5)
    length_penalty: Penalty = 1.0
    out: str | None = None
