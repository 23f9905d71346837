"""The keys of ``experiments/reproduce.py``."""

from __future__ import annotations

from dataclasses import dataclass

from conf import COUNT, CPUS, SEED, key
from textgen_env.errors import Range


@dataclass
class Config:
    """Reproduce a table: train its teacher and students, then measure and write its page.

    Every other key goes to the runs: see python experiments/dagger.py --help.
    """

    table: str | None = key(
        None, "a table of conf/table, such as multi30k_small, or a YAML file like those"
    )
    algorithms: list[str] = key([], "algorithms, instead of the table's")
    students: list[str] = key([], "student architectures, instead of the table's")
    seeds: list[int] = key([], "seeds, instead of the table's", SEED)
    rows: int | None = key(None, "maximum number of test sentences; null: all", COUNT)
    jobs: int = key(CPUS, "runs at a time, each in a process of its own", Range(1, CPUS))
    threads: int | None = key(
        None, "CPU threads of each run; null: the cores divided by jobs", Range(1, CPUS)
    )
    speed_rows: int = key(200, "test sentences in the speed measurement, evenly spaced", COUNT)
    rounds: int = key(5, "speed measurements after a warm-up; the median counts", COUNT)
    page: str | None = key(
        None, "Markdown file to write, with its figure beside it; null: OUT/<table>.md"
    )
    out: str | None = key(None, "folder of the runs; null: runs/<table>")
    overrides: list[str] = key([], "keys of the runs, filled in from the rest of the command line")
