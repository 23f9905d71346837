"""LoRA: low-rank adapters on the linear layers of a Hugging Face policy, by PEFT.

The layers of ``policy.model`` are replaced in place, so a policy with an adapter is still a
``HuggingFacePolicy``. Its base model is frozen, and its ``state_dict`` holds the adapter alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors.torch import save
from torch import nn

from agents.policies.huggingface import LORA_WEIGHT, HuggingFacePolicy
from textgen_env.data.files import write_atomically
from textgen_env.errors import Range, UserError, check_range

ALL_LINEAR = ["all-linear"]


@dataclass(frozen=True)
class LoRA:
    """Settings of an adapter (Hu et al. 2022): ``W + alpha / rank · B A``, where B starts at 0.

    Args:
        rank: rank of A and B; null: no adapter, all weights are trained
        targets: last names of the adapted linear layers, such as [q_proj,v_proj], or all-linear;
            null: PEFT's default for the model type
        alpha: null: twice the rank, so that the scale is 2 for every rank
        dropout: dropout rate of the adapter's input
    """

    rank: int | None = None
    targets: list[str] | None = None
    alpha: float | None = None
    dropout: float = 0.0


NO_ADAPTER = LoRA()


def add_adapter(policy: HuggingFacePolicy, lora: LoRA) -> None:
    """Freeze ``policy`` and add an adapter to its model; A depends on torch's generator.

    Raises:
        UserError: PEFT is missing, or cannot adapt a target.
    """
    peft, model = _peft(), policy.model
    rank = lora.rank or 0
    check_range("lora.rank", rank, Range(1, 10**6))
    check_range("lora.dropout", lora.dropout, Range(0, 1, "most"))
    targets = _targets(model, lora.targets)
    config = peft.LoraConfig(
        task_type="SEQ_2_SEQ_LM" if policy.has_encoder else "CAUSAL_LM",
        r=rank,
        lora_alpha=2 * rank if lora.alpha is None else lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear" if targets == ALL_LINEAR else targets,
        fan_in_fan_out=any(type(layer).__name__ == "Conv1D" for layer in model.modules()),
    )
    try:
        peft.inject_adapter_in_model(config, model)
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"lora.targets={_bracketed(targets)}: {reason}") from error
    for name, weight in policy.named_parameters():
        if LORA_WEIGHT in name:  # small updates would be rounded away in bfloat16
            weight.data = weight.data.float()


def has_adapter(policy: nn.Module) -> bool:
    """Whether ``policy`` has an adapter."""
    return any(LORA_WEIGHT in name for name, _ in policy.named_parameters())


def adapter_config(policy: HuggingFacePolicy) -> Any:
    """PEFT's config of the adapter; None if there is none."""
    return policy.model.peft_config["default"] if has_adapter(policy) else None


def without_adapter(policy: HuggingFacePolicy) -> HuggingFacePolicy:
    """The base model as a policy of its own that shares all weights, so they are in memory once."""
    tensors = (*policy.parameters(), *policy.buffers())
    shared = {id(value): value for value in (*tensors, policy.vocabulary)}
    base = copy.deepcopy(policy, shared)
    _remove_adapter(base.model)
    return base


def merged(policy: HuggingFacePolicy) -> HuggingFacePolicy:
    """A copy of ``policy`` with the adapter added to its weights, in their dtype."""
    whole = copy.deepcopy(policy, {id(policy.vocabulary): policy.vocabulary})
    for _, _, layer in _adapted(whole.model):
        layer.merge(safe_merge=True)
    _remove_adapter(whole.model)
    return whole


def save_adapter(policy: HuggingFacePolicy, folder: Path, base: str) -> None:
    """Save the adapter as ``PeftModel`` opens it; ``base`` names its model, or the folder."""
    peft = _peft()
    tensors = peft.get_peft_model_state_dict(policy.model, save_embedding_layers=False)
    tensors = {f"base_model.model.{name}": value.contiguous() for name, value in tensors.items()}
    write_atomically(folder / "adapter_model.safetensors", save(tensors, {"format": "pt"}))
    config = copy.copy(adapter_config(policy))
    config.base_model_name_or_path, config.inference_mode = base, True
    config.save_pretrained(folder)


def _peft() -> ModuleType:
    try:
        import peft
    except ImportError:
        raise UserError("student.lora needs the peft package: pip install -e '.[hf]'") from None
    return peft


def _targets(model: Any, chosen: list[str] | None) -> list[str]:
    """The names of the layers to adapt; UserError if one of them is no linear layer."""
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULTS

    linear = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) or type(layer).__name__ == "Conv1D"
    }
    kind, head = model.config.model_type, model.get_output_embeddings()
    names = sorted({name.rpartition(".")[2] for name, layer in linear.items() if layer is not head})
    targets = chosen or DEFAULTS.get(kind)
    if not targets:
        raise UserError(
            f"lora.targets=null: PEFT has no default for {kind}; choose from {', '.join(names)}"
        )
    if list(targets) == ALL_LINEAR:
        return ALL_LINEAR
    for target in targets:
        layers = [layer for name, layer in linear.items() if f".{name}".endswith(f".{target}")]
        if not layers:
            raise UserError(
                f"lora.targets={_bracketed(targets)}: {kind} has no linear layer {target}; "
                f"choose from {', '.join(names)}"
            )
        if head in layers and head.weight is model.get_input_embeddings().weight:
            raise UserError(
                f"lora.targets={_bracketed(targets)}: the weights of {target} are also the input "
                f"embeddings, which have no adapter; choose from {', '.join(names)}"
            )
    return list(targets)


def _bracketed(targets: Iterable[str]) -> str:
    """``targets`` as a list on the command line."""
    return f"[{','.join(targets)}]"


def _adapted(model: nn.Module) -> list[tuple[nn.Module, str, Any]]:
    """(parent, name, layer) of every layer with an adapter."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, BaseTunerLayer)
    ]


def _remove_adapter(model: Any) -> None:
    """Put the base layers back."""
    for parent, name, layer in _adapted(model):
        setattr(parent, name, layer.get_base_layer())
    del model.peft_config
