"""The model card of a run: no text of the user breaks its header."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from agents.runs.model_folder import model_card
from agents.runs.run import Run
from support.families import build

HOSTILE = "a: [b\n---\n'{{ c }}' \"d\" # e <f> é"
SCORES = {"teacher": {"bleu": 30.0}, "student": {"bleu": 29.456}}


def results(text: str) -> dict[str, Any]:
    return {
        "corpus": {"name": text, "source": text, "fingerprint": "0" * 16},
        "teacher": {"path": text, "architecture": "marian"},
        "student": {"parameters": 1234},
        "training": {"steps": 2000, "best_step": 1500},
        "scores": SCORES,
    }


def card(text: str, family: str = "gpt2") -> str:
    settings = {"path": text, "init": "pretrained", "source_prefix": text, "separator": text}
    config = OmegaConf.create({"student": settings, "algorithm": {"name": text}, "init": None})
    task = SimpleNamespace(id=text, horizon=9, splits={"train": range(1500)})
    run: Any = Run(Path(), config, None, task, None, build(family))  # type: ignore[arg-type]
    return model_card(run, results(text), f"python experiments/dagger.py {text}")


@pytest.mark.parametrize("text", ["plain", HOSTILE], ids=["plain", "hostile"])
@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_the_header_is_the_same_for_any_text(text, family):
    header, body = card(text, family).removeprefix("---\n").split("\n---\n", 1)
    tags = ["distillation", "imitation-learning", text]
    kind = "text-generation" if family == "gpt2" else "text2text-generation"
    expected = {"library_name": "transformers", "pipeline_tag": kind, "tags": tags}
    assert yaml.safe_load(header) == expected
    assert "{{ c }}" not in text or "{{ c }}" in body  # a value is no template
    for part in ("1,234 parameters", "1,500 training pairs", "Steps: 2,000", "| student | 29.46 |"):
        assert part in body
