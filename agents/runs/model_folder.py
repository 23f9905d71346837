"""The folder ``model`` of a run whose student is a Hugging Face model: what transformers opens."""

from __future__ import annotations

from typing import Any

from agents.model import PRETRAINED
from agents.policies.adapters import adapter_config
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.saving import save_weights
from agents.reporting.pages import FOLDER
from agents.runs.run import Run
from textgen_env.data.files import write_atomically
from textgen_env.types import EOS


def save_model(run: Run, results: dict[str, Any], command: str) -> None:
    """Save the trained weights and a model card; nothing for other students.

    Args:
        run: its student has the weights to save.
        results: those of the evaluation, for the card.
        command: what was called.
    """
    if isinstance(run.student, HuggingFacePolicy):
        save_weights(run.student, run.folder / PRETRAINED)
        card = model_card(run, results, command)
        write_atomically(run.folder / PRETRAINED / "README.md", card.encode())


def model_card(run: Run, results: dict[str, Any], command: str) -> str:
    """The README.md of the model: data, teacher, algorithm, scores and command."""
    from huggingface_hub import ModelCard, ModelCardData  # needs the extra

    student, lora = run.student, adapter_config(run.student)
    header = ModelCardData(
        base_model=student.original.hub_name if lora else None,
        library_name="peft" if lora else "transformers",
        pipeline_tag="text2text-generation" if student.has_encoder else "text-generation",
        tags=["distillation", "imitation-learning", run.config.algorithm.name],
    )
    values = {"run": run, "results": results, "command": command, "lora": lora}
    values |= _around(student) | {"metric": next(iter(results["scores"]["student"]))}
    template = FOLDER / "model_card.md.jinja"
    return str(ModelCard.from_template(header, template_path=str(template), **values))


def _around(student: HuggingFacePolicy) -> dict[str, str]:
    """The model's ids before and after those of a text, as items of a list in Python."""
    eos = student.ids[[EOS]].tolist()
    after = eos * (student.has_encoder or student.keeps_eos)
    after += [] if student.has_encoder else student.before_target.tolist()
    return {
        "before": "".join(f"{i}, " for i in student.before_source.tolist()),
        "after": "".join(f", {i}" for i in after),
    }
