"""The plot and the table of an exposure-bias report show every run."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from rich.console import Console

from agents.evaluation.exposure_bias import ExposureBiasConfig, measure_exposure_bias
from agents.evaluation.outputs import subset
from agents.policies.transformer import TransformerPolicy
from agents.reporting import exposure_report
from textgen_env.tasks.task import Task


@pytest.fixture(scope="module")
def results(task: Task):
    torch.manual_seed(0)
    students = {
        name: TransformerPolicy(len(task.vocabulary), layers=1, width=16, heads=2, ffn=16).eval()
        for name in ("mle [1]", "imitkd_full")
    }
    config = ExposureBiasConfig(
        top_k=1, corrupt_at=1, corrupt=1, resamples=40, seed=3, precision="float32", device="cpu"
    )
    split = subset(task.splits["train"], 40)
    runs = measure_exposure_bias(students, task.oracle(), task, split, config)
    return {"env": "Copy-v0", "settings": {"corrupt_at": 1, "corrupt": 1}, "runs": runs}


def test_plot_has_a_visible_color_per_run(results):
    picture = imread(io.BytesIO(exposure_report.exposure_bias_png(results)))
    assert picture.shape[:2] == (1080, 1920)
    for color in exposure_report.colors(results):
        rgb = np.array([int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)])
        assert (np.abs(picture[..., :3] - rgb).max(-1) < 0.02).sum() > 1000


def test_table_fits_80_columns_and_shows_every_run(results):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(exposure_report.exposure_bias_table(results))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    for name, run in results["runs"].items():
        assert name in text
        assert f"{run['mean']['student']['regret']['value']:.3f}" in text
