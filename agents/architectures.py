"""The architectures as functions: each builds a ``Model`` with random weights for a task.

>>> import agents, textgen_env
>>> task = textgen_env.load_task("Copy-v0")
>>> model = agents.GRU(task, width=64, encoder_width=32, embedding=32)
>>> model.architecture["name"], model.architecture["settings"]["width"]
('gru', 64)
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from agents.discovery import POLICY, find_policy, settings
from agents.model import Model, build_policy
from agents.policies.adapters import LoRA
from agents.policies.tokenizer import load_tokenizer
from textgen_env.errors import check_kind, unknown
from textgen_env.tasks.task import Task


def build_model(architecture: str, task: Task, seed: int = 0, **chosen: Any) -> Model:
    """Build a model for the vocabulary and the limits of a task.

    Args:
        architecture: name of a policy, as ``student=`` on the command line.
        task: what the model will be trained on.
        seed: of the random weights.
        **chosen: settings of the architecture; the others have their defaults.

    Raises:
        UserError: the architecture or a setting is unknown, or a value is out of range.
    """
    policy = find_policy(architecture)
    known = {
        name: asdict(value) if isinstance(value, LoRA) else value
        for name, value in settings(policy, POLICY).items()
    }
    for name, value in chosen.items():
        if name not in known or name in policy.keywords:
            raise unknown(f"setting of {architecture}", name, known.keys() - policy.keywords.keys())
        check_kind(name, value, known[name])
    known |= chosen
    if isinstance(lora := known.get("lora"), LoRA):
        known["lora"] = asdict(lora)
    built = build_policy(architecture, known, task.vocabulary, seed, template=task.template)
    model = Model.from_task(built.eval(), architecture, known, task)
    model.trained = known.get("init") == "pretrained"
    return model


def Transformer(task: Task, seed: int = 0, **settings: Any) -> Model:  # noqa: N802
    """A transformer encoder–decoder (Vaswani et al. 2017).

    Args:
        task: what the model will be trained on.
        seed: of the random weights.
        **settings: those of ``agents.policies.TransformerPolicy``:
            ``layers=2``, ``width=256``, ``heads=4``, ``ffn=768``, ``dropout=0.1`` and more.
    """
    return build_model("transformer", task, seed, **settings)


def GRU(task: Task, seed: int = 0, **settings: Any) -> Model:  # noqa: N802
    """A GRU encoder–decoder with attention (Cho et al. 2014, Luong et al. 2015).

    Args:
        task: what the model will be trained on.
        seed: of the random weights.
        **settings: those of ``agents.policies.RNNPolicy``:
            ``encoder_layers=2``, ``decoder_layers=2``, ``encoder_width=256``, ``width=512``,
            ``embedding=256``, ``dropout=0.1`` and more.
    """
    return build_model("gru", task, seed, **settings)


def LSTM(task: Task, seed: int = 0, **settings: Any) -> Model:  # noqa: N802
    """An LSTM encoder–decoder with attention (Luong et al. 2015).

    Args:
        task: what the model will be trained on.
        seed: of the random weights.
        **settings: those of ``agents.policies.RNNPolicy``:
            ``encoder_layers=2``, ``decoder_layers=2``, ``encoder_width=256``, ``width=512``,
            ``embedding=256``, ``dropout=0.1`` and more.
    """
    return build_model("lstm", task, seed, **settings)


def SRU(task: Task, seed: int = 0, **settings: Any) -> Model:  # noqa: N802
    """An encoder–decoder of simple recurrent units (Lei et al. 2018) with attention.

    Args:
        task: what the model will be trained on.
        seed: of the random weights.
        **settings: those of ``agents.policies.RNNPolicy``:
            ``encoder_layers=2``, ``decoder_layers=2``, ``encoder_width=256``, ``width=512``,
            ``embedding=256``, ``dropout=0.1`` and more.
    """
    return build_model("sru", task, seed, **settings)


def HuggingFace(task: Task, path: str, seed: int = 0, **settings: Any) -> Model:  # noqa: N802
    """An encoder–decoder or causal model of Hugging Face, to be trained further.

    Args:
        task: what the model will be trained on; its texts are tokenized by the model's tokenizer.
        path: model folder, or name of a model on the Hub.
        seed: of the random weights of ``init="random"``.
        **settings: those of ``agents.policies.PretrainedSettings``: ``layers=None``,
            ``decoder_layers=None``, ``init="pretrained"``, ``dtype="float32"``,
            ``lora={"rank": 8}`` and more.
    """
    own = task.with_vocabulary(load_tokenizer(path).vocabulary)
    return build_model("hf", own, seed, path=path, **settings)
