"""Reading ``metrics.jsonl`` and writing the report into the run folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents import reporting
from support.reports import EXACT, ParsedPage, metrics, results, sample
from textgen_env.errors import UserError


def test_metrics_round_trip(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics()))
    assert reporting.read_metrics(tmp_path) == metrics()


def test_a_file_truncated_at_any_byte_loses_at_most_the_last_row(tmp_path: Path) -> None:
    rows = ({"step": step, "phase": "β"} for step in (1, 2))
    lines = [json.dumps(row, ensure_ascii=False).encode() for row in rows]
    content = b"\n".join(lines) + b"\n"
    for end in range(len(content) + 1):
        (tmp_path / "metrics.jsonl").write_bytes(content[:end])
        steps = [row["step"] for row in reporting.read_metrics(tmp_path)]
        assert steps == [1, 2][: (end > len(lines[0])) + (end == len(content))]


@pytest.mark.parametrize(
    "broken",
    [
        '{"step": 1',
        "3",
        "",
        "nonsense",
        '{"phase": "student"}',
        '{"step": 1, "phase": "", "x": []}',
    ],
)
def test_a_broken_line_before_the_last_raises_with_its_number(tmp_path: Path, broken: str) -> None:
    row = '{"step": 1, "phase": "student"}'
    (tmp_path / "metrics.jsonl").write_text(f"{row}\n{broken}\n{row}\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl:2: not a row of this file \("):
        reporting.read_metrics(tmp_path)


def test_a_folder_without_metrics_raises(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; name a run folder"):
        reporting.read_metrics(tmp_path)


def test_the_report_includes_the_teachers_curves_from_its_folder(tmp_path: Path) -> None:
    folder, teacher = tmp_path / "run", tmp_path / "teacher"
    rows = [row for row in metrics() if row["phase"] == "student"]
    for run_folder in (folder, teacher):
        run_folder.mkdir()
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (run_folder / "metrics.jsonl").write_text(lines)
    about = {"architecture": "transformer", "parameters": 5, "path": str(teacher)}
    reporting.save_report(folder, results(teacher=about), [sample()], "seed: 17\n")
    files = {"metrics.jsonl", "curves.png", "samples.txt", "report.html"}
    assert {path.name for path in folder.iterdir()} == files
    labels = " ".join(ParsedPage(folder / "report.html").attributes("aria-label"))
    assert "Validation BLEU: teacher from" in labels
    reporting.save_report(folder, results(**EXACT), [sample()], "seed: 17\n")
    labels = " ".join(ParsedPage(folder / "report.html").attributes("aria-label"))
    assert "Validation BLEU: student from" in labels
