"""The keys of ``experiments/reproduce.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from conf import CPUS, Cores, Count, Seed


@dataclass(frozen=True)
class Config:
    """Reproduce a table: train its teacher and students, then measure and write its page.

    The same command again resumes where it was stopped: finished runs are not repeated.

    Every other key goes to the runs: see python experiments/dagger.py --help.

    Args:
        table: a table of conf/table, such as multi30k_small, or a YAML file like those
        algorithms: algorithms, instead of the table's
        students: student architectures, instead of the table's
        seeds: seeds, instead of the table's
        rows: maximum number of test sentences; null: all
        jobs: runs at a time, each in a process of its own
        threads: CPU threads of each run; null: the cores divided by jobs
        speed_rows: test sentences in the speed measurement, evenly spaced
        rounds: speed measurements; the median counts
        page: Markdown file to write, with its figure beside it; null: OUT/<table>.md
        out: folder of the runs; null: runs/<table>
    """

    passes: ClassVar[str] = "all"
    table: str | None = None
    algorithms: tuple[str, ...] = ()
    students: tuple[str, ...] = ()
    seeds: tuple[Seed, ...] = ()
    rows: Count | None = None
    jobs: Cores = CPUS
    threads: Cores | None = None
    speed_rows: Count = 200
    rounds: Count = 5
    page: str | None = None
    out: str | None = None
