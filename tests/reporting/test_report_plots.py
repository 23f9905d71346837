"""``curves.png`` and the panels of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from agents.reporting.plots import PANEL, panel_svg, panels, save_curves
from support.reports import metrics, page


def test_equal_metrics_give_equal_images_and_others_do_not(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "same", "other")]
    for folder, seed in zip(folders, (0, 0, 1), strict=True):
        folder.mkdir()
        save_curves(folder, metrics(10, seed))
    one, same, other = ((folder / "curves.png").read_bytes() for folder in folders)
    assert one == same != other
    height, width, _ = imread(folders[0] / "curves.png").shape
    assert width > 2 * 100 * PANEL[0]
    assert height > 2 * 100 * PANEL[1]


@pytest.mark.parametrize("key", ["loss", "valid_loss", "valid_bleu", "beta", "tokens_per_second"])
def test_every_logged_metric_is_drawn(key: str) -> None:
    before = metrics(10)
    after = [*before[:-1], before[-1] | {key: before[-1][key] / 2}]
    (panel,) = (panel for panel in panels(before) if key in panel.keys)
    assert panel_svg(panel, before) != panel_svg(panel, after)


def test_only_panels_with_data_are_drawn() -> None:
    assert len(panels(metrics())) == 4
    assert panels([]) == []
    row = {"step": 1, "phase": "student"}
    assert [panel.title for panel in panels([row | {"valid_rougeL": 12.0}])] == [
        "Validation ROUGE-L"
    ]
    assert panels([row | {"loss": float("nan")}]) == []


def test_the_later_row_of_a_step_wins() -> None:
    losses = ((1, 9.0), (2, 8.0), (2, 5.0), (3, 4.0))
    rows = [{"step": step, "phase": "student", "loss": loss} for step, loss in losses]
    (series,) = panels(rows)[0].series(rows).values()
    assert series.tolist() == [[1, 2, 3], [9, 5, 4]]


@pytest.mark.parametrize(
    "rows",
    [[], metrics()[:1], [metrics()[-1]], metrics(400)],
    ids=["none", "one", "one validation", "many"],
)
def test_any_number_of_rows_is_drawn(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    image = imread(save_curves(tmp_path, rows))
    assert image.min() < image.max()
    assert ("No metrics were logged" in page(tmp_path, metrics=rows).text) == (rows == [])
