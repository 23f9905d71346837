"""The page of a results table, from rows without any run."""

import json
import re

import pytest

from agents.reporting.results_figure import points_of
from agents.reporting.results_page import highlights, pages, terminal_table
from agents.runs.results_table import best_validation
from textgen_env.terminal import Terminal

FACTS = {
    "corpus": {"name": "c", "source": "local", "fingerprint": "f0"},
    **{"sentences": 10, "signature": "s", "preprocessing": "none", "cpu": "A CPU"},
    **{"commit": "abc", "precision": "bf16", "threads": 2, "run_threads": 1, "jobs": 2},
    **{"rounds": 3, "speed_rows": 8, "torch": "2", "ctranslate2": "4", "runs": 4},
    **{"run_seconds": 60.0, "teacher_seconds": 9.0, "demonstrations_seconds": 0},
    "missing": ["CTranslate2 does not support the gru student."],
}


def row(algorithm, student, score, speed, form="", **more):
    beams = (1,) if form else (1, 5)
    scores = {
        f"bleu@{beam}{end}": score + beam + shift
        for beam in beams
        for end, shift in (("", 0), ("_low", -1), ("_high", 1))
    }
    speeds = {
        size: {form: (speed * size, speed * size, speed * size)} if speed else {}
        for size in (1, 64)
    }
    system = {"algorithm": algorithm, "student": student, "form": form, "seeds": 3, "notes": []}
    return {**system, "parameters": 600_000, **scores, "speeds": speeds, **more}


TEACHER = row("teacher", "transformer", 35, 0, seeds=1, parameters=5_000_000, notes=["unfinished"])
TEACHER["speeds"] = {size: {"beam 5": (10, 9, 11), "greedy": (20, 19, 21)} for size in (1, 64)}
ROWS = [
    TEACHER,
    row("mle", "transformer", 25, 100, validation=26.0),
    row("imitkd", "transformer", 30, 110, validation=31.0, gain=5.0, p_mle=0.01, p_seqkd=None),
    row("mle", "gru", 24, 0, notes=["seed 1 failed: a | b"], validation=25.0),
    {**dict(algorithm="imitkd", student="gru", form="", seeds=0, validation=None)}
    | {"speeds": {1: {}, 64: {}}, "notes": ["seed 0 failed: out of memory"]},
    row("imitkd", "transformer", 29, 400, form="int8"),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "t.md"
    return pages(path, "A title", "python x", ROWS, FACTS)


def test_the_page_has_its_figure_and_values_beside_it(written):
    page, figure, values = written
    assert [page.name, figure.name, values.name] == ["t.md", "t.png", "t.json"]
    assert f"]({figure.name})" in written[page].decode()
    assert written[figure].startswith(b"\x89PNG")
    assert json.loads(written[values])["rows"][0]["algorithm"] == "teacher"


def test_every_table_row_has_the_cells_of_its_head(written):
    text = next(iter(written.values())).decode()
    tables = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert len(tables) == 2
    for table in tables:
        counts = {len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(counts) == 1


def test_failed_and_unfinished_systems_stay_in_the_table(written):
    text = next(iter(written.values())).decode()
    assert re.search(r"^\| imitkd, gru \| 0 \|.*seed 0 failed: out of memory \|$", text, re.M)
    assert re.search(r"^\| teacher, transformer .*\| unfinished \|$", text, re.M)


def test_the_numbers_for_the_readme_are_of_the_best_validation():
    quality, speed, int8 = highlights(ROWS)
    assert all(text in quality for text in ("31.0 BLEU by `imitkd`", "mle` 26.0", "40.0"))
    assert "11.0× as fast" in speed
    assert all(text in int8 for text in ("40.0× as fast", "30.0 BLEU"))


def test_the_page_leads_with_its_numbers(written):
    text = next(iter(written.values())).decode()
    heads = re.findall(r"^## (.*)$", text, re.M)
    assert heads == ["In three numbers", "Quality", "Speed", "How it was measured"]
    assert text.index(highlights(ROWS)[0]) < text.index("## Quality")


def test_the_numbers_for_the_readme_are_of_one_metric_and_of_the_smallest_beam():
    def rouge(row):
        row = {key.replace("bleu", "rouge1"): value for key, value in row.items()}
        return {**row, "rouge2@1": 90.0, "rouge2@5": 91.0}

    rows = [rouge(dict(reversed(row.items()))) for row in ROWS]  # the larger width comes first
    quality, *_ = highlights(rows)
    assert all(text in quality for text in ("31.0 ROUGE-1", "`mle` 26.0", "40.0 (beam 5)"))


def test_the_figure_has_the_teacher_at_both_beams():
    points = points_of(ROWS, 1)
    teacher = {point["form"]: point["score"] for point in points if point["algorithm"] == "teacher"}
    assert teacher == {"beam 5": 40, "greedy": 36}
    assert len(points) == 5  # and three students with a speed


def test_the_terminal_table_shows_ratios_to_the_teachers_beam():
    console = Terminal(width=140)
    with console.capture() as captured:
        console.print(terminal_table("t", ROWS))
    assert re.search(r"imitkd, transformer, int8 .* 40.0× │", captured.get())


def test_the_first_of_equal_validations_is_the_best():
    scores = [(1, 3.0), (2, 7.0), (3, 7.0)]
    metrics = [{"step": step, "phase": "student", "valid_bleu": s} for step, s in scores]
    other = {"step": 9, "phase": "teacher", "valid_bleu": 9.0}
    assert best_validation([*metrics, other, {"step": 4, "phase": "student"}], "student") == (2, 7)
    assert best_validation([], "student") == (0, 0.0)
