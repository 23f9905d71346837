"""The lesson runs from top to bottom, shows what it says, and its exercises know an empty answer from a right and a wrong one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

LESSON = Path(__file__).resolve().parents[2] / "docs" / "lesson.ipynb"
REPORT = "import json; print(json.dumps([slopes, neural_slopes, exposure, checked]))"
CLONING = """
def cloning(self, batch, clock):
    logits = self.policy(batch.source, batch.prefix, batch.mask)
    return torch.nn.functional.cross_entropy(logits, batch.target[batch.mask])

Cloning.loss = cloning
check("cloning", lambda task, policy: Cloning(policy), lambda result: result.error_expert < 0.02, "")
"""
DAGGER = """
def dagger(self, batch, clock):
    every = torch.ones(len(batch), dtype=torch.bool)
    if OWN:
        T = batch.target.shape[1]
        episodes = rollout(self.policy, batch.source, T, clock.uniform("rollout", batch.row, T))
        batch = batch.with_rows(every, episodes)
    logits = self.policy(batch.source, batch.prefix, batch.mask)
    return cross_entropy(logits, self.oracle.log_probs(batch.source, batch.prefix, batch.mask))

MyDAgger.loss = dagger
answers = {}
for OWN in (False, True):
    check("dagger", lambda task, policy: MyDAgger(policy, task.oracle()), lambda result: result.error_ground < 0.6, "")
    answers[OWN] = checked["dagger"]
print(json.dumps([checked["cloning"], answers[False], answers[True]]))
"""


def printed(cell: Any) -> str:
    return "".join(
        output["text"]
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    )


@pytest.fixture(scope="module")
def lesson() -> Any:
    """The executed notebook, with three cells of ours behind the last; a cell that fails raises here."""
    notebook = nbformat.read(LESSON, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in (REPORT, CLONING, DAGGER)]
    folder = str(LESSON.parents[1])
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()
    return notebook


def test_it_is_stored_without_outputs() -> None:
    stored = nbformat.read(LESSON, as_version=4)
    nbformat.validate(stored)
    assert all(
        not cell.outputs and cell.execution_count is None
        for cell in stored.cells
        if cell.cell_type == "code"
    )


def test_its_numbers_are_those_it_tells_of(lesson: Any) -> None:
    slopes, neural, exposure, checked = json.loads(printed(lesson.cells[-3]))
    assert slopes["cloning"] == pytest.approx(2, abs=0.06)
    assert slopes["DAgger"] == pytest.approx(1, abs=0.06)
    assert neural["bc"] == pytest.approx(1.83, abs=0.25)  # exactly 1.83 at these horizons
    assert neural["dagger"] == pytest.approx(1.1, abs=0.3)
    on_rope, own = exposure["bc"]
    assert max(on_rope) < 0.03 < 0.06 < own[-1]
    assert exposure["dagger"][1][-1] < own[-1] / 2
    assert checked == {"cloning": "to be done", "dagger": "to be done"}
    assert (
        sum(
            "image/png" in output.get("data", {})
            for cell in lesson.cells[:-3]
            for output in cell.get("outputs", [])
        )
        == 3
    )


def test_a_right_answer_passes_and_cloning_is_no_dagger(lesson: Any) -> None:
    assert json.loads(printed(lesson.cells[-1]).strip().split("\n")[-1]) == [
        "done",
        "not yet",
        "done",
    ]


def test_a_right_clone_which_never_falls_has_an_error_on_the_ground(lesson: Any) -> None:
    match = re.search(r"P\(wrong \| fallen\) (\S+)", printed(lesson.cells[-2]))
    assert match is not None
    assert 0.9 < float(match[1]) <= 1


def test_what_is_rendered_is_the_cost_that_the_text_states(lesson: Any) -> None:
    """A fall and the climb back: u = 2, in the picture, in the tables and in the environment."""
    drawn, exact = (
        printed(cell) for cell in lesson.cells if cell.get("id") in ("cell-03", "cell-07")
    )
    assert "return -2" in drawn
    assert exact.count("u 2 ") == 2


def test_a_failing_cell_fails_the_lesson() -> None:
    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert False")])
    with pytest.raises(nbclient.exceptions.CellExecutionError):
        nbclient.NotebookClient(broken, kernel_name="python3").execute()
