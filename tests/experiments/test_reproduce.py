"""``reproduce.py``: reads a table, trains what is missing in processes, and writes the page."""

import re

import pytest

from cli.tables import FOLDER, read_table
from support.commands import SEQKD, run
from textgen_env.errors import UserError

OWN = ("algorithm=", "out=", "evaluate.rows=")
TINY = [word for word in SEQKD if not word.startswith(OWN)]
LISTS = ["algorithms: [mle, seqkd]", "students: [transformer]", "seeds: [0]", "beams: [1, 5]"]


BROKEN = """
from agents.algorithms.bc import BC

class Broken(BC):
    def loss(self, batch, clock):
        raise RuntimeError("no loss today")
"""


@pytest.fixture
def table(tmp_path):
    """A table of a few seconds."""
    lines = [word.replace("=", ": ", 1) for word in TINY]
    (tmp_path / "tiny.yaml").write_text("\n".join(["title: Tiny", *lines, *LISTS]))
    return tmp_path / "tiny.yaml"


def test_the_committed_tables_name_no_folder_of_data():
    tables = [read_table(path.stem, {}, []) for path in FOLDER.glob("*.yaml")]
    assert tables
    for table in tables:
        assert not [word for word in table.overrides if word.startswith("env.data")]


def test_the_small_table_has_thirty_runs_of_the_papers_algorithms():
    lists = read_table("multi30k_small", {}, []).lists
    assert len(lists.algorithms) * len(lists.students) * len(lists.seeds) == 30
    assert {"mle", "seqkd", "imitkd", "imitkd_full", "imitkd_star_full"} == {*lists.algorithms}


def test_the_users_values_replace_those_of_the_table(table):
    given = {"seeds": [3, 4], "algorithms": [], "students": ["gru"]}
    read = read_table(str(table), given, ["train.steps=9"])
    assert (read.title, read.lists.seeds, read.lists.students) == ("Tiny", [3, 4], ["gru"])
    assert read.lists.algorithms == ["mle", "seqkd"]
    assert [word for word in read.overrides if word.startswith("train.steps")] == ["train.steps=9"]


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        (None, [], "give table=NAME: "),
        ("multi30k_smal", [], "unknown table 'multi30k_smal'"),
        ("missing.yaml", [], "table=missing.yaml: no such file"),
        ("multi30k_small", ["seed=1"], "seed=1: here it is seeds=[1]"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(name, overrides, message):
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        read_table(name, {}, overrides)


@pytest.mark.slow
def test_a_failed_run_stays_in_the_table_and_the_others_are_not_repeated(table):
    folder = table.parent
    (folder / "broken.py").write_text(BROKEN)
    words = ["table=tiny.yaml", "out=o", "page=docs/p.md", "rows=12", "speed_rows=4", "rounds=1"]
    broken = [*words, "algorithms=[mle,broken.Broken]"]
    message = run("reproduce.py", *broken, cwd=folder, code=2)
    assert "1 of 2 runs failed; the same command repeats them" in message
    page = (folder / "docs" / "p.md").read_text()
    assert "seed 0 failed: RuntimeError: no loss today" in page
    assert (folder / "docs" / "p.png").is_file()

    results = folder / "o" / "mle-transformer-seed0" / "results.json"
    before = results.stat().st_mtime_ns
    message = run("reproduce.py", *words, cwd=folder)
    assert "2 runs, 1 finished before" in message
    assert results.stat().st_mtime_ns == before
    assert re.search(r"^\| seqkd, transformer ", (folder / "docs" / "p.md").read_text(), re.M)
