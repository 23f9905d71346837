"""The model card of a run: no text of the user breaks its header."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
import yaml
from omegaconf import OmegaConf

from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.pretrained import load_pretrained
from agents.runs.model_folder import model_card
from agents.runs.run import Run
from support.families import build
from support.pretrained_models import FAMILIES
from textgen_env.types import EOS

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


def card(text: str, student: HuggingFacePolicy) -> str:
    settings = {"path": text, "init": "pretrained", "source_prefix": text, "separator": text}
    config = OmegaConf.create({"student": settings, "algorithm": {"name": text}, "init": None})
    task = SimpleNamespace(id=text, horizon=9, splits={"train": range(1500)})
    run: Any = Run(Path(), config, None, task, None, student)  # type: ignore[arg-type]
    return model_card(run, results(text), f"python experiments/dagger.py {text}")


@pytest.mark.parametrize("text", ["plain", HOSTILE], ids=["plain", "hostile"])
@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_the_header_is_the_same_for_any_text(text, family):
    header, body = card(text, build(family)).removeprefix("---\n").split("\n---\n", 1)
    tags = ["distillation", "imitation-learning", text]
    kind = "text-generation" if family == "gpt2" else "text2text-generation"
    expected = {"library_name": "transformers", "pipeline_tag": kind, "tags": tags}
    assert yaml.safe_load(header) == expected
    assert "{{ c }}" not in text or "{{ c }}" in body  # a value is no template
    for part in ("1,234 parameters", "1,500 training pairs", "Steps: 2,000", "| student | 29.46 |"):
        assert part in body


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("settings", [{}, {"source_prefix": "the cat", "separator": "a man"}])
def test_the_script_has_the_prompt_of_the_policy(family, settings, tmp_path):
    """Special tokens in the text are text, those of the prefix and of the separator are not."""
    folder = FAMILIES[family](tmp_path / "model")
    if family in ("marian", "bart", "t5"):
        settings = {key: settings[key] for key in settings if key != "separator"}
    policy = load_pretrained(str(folder), **settings)
    script = card("plain", policy).partition("```python\n")[2]
    lines = [line for line in script.split("\n") if line.startswith(("options", "special", "ids"))]
    for text in ("the dog", "the </s> dog </s> <pad> <unk> <|endoftext|> <mask> <extra_id_0>"):
        names = {"torch": torch, "text": text}
        names["tokenizer"] = transformers.AutoTokenizer.from_pretrained(folder)
        exec("\n".join(lines), names)
        source = torch.tensor([[*policy.vocabulary.encode(text), EOS]])
        expected = torch.cat([policy.before_source[None], policy.ids[source]], 1)
        if not policy.has_encoder:
            expected = policy.start(source, 1).prompt
        assert names["ids"].tolist() == expected.tolist()
