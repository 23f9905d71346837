"""Opens Hugging Face models, by folder or by name on the Hub.

Model folders are untrusted: none of their code runs, and only safetensors weights are loaded
(agents/policies/untrusted.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from agents.policies.untrusted import sanitized_folder
from textgen_env.errors import UserError

OFFLINE: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}


@contextmanager
def opened_model(name: str, weights: bool = False) -> Iterator[tuple[ModuleType, Path]]:
    """Yield transformers and a sanitized model folder; any error becomes a one-line UserError."""
    try:
        import transformers
    except ImportError:
        raise UserError(
            "an hf: model needs the transformers package: pip install -e '.[hf]'"
        ) from None
    try:
        with sanitized_folder(name, transformers, weights) as folder:
            yield transformers, folder
    except Exception as error:  # the packages raise errors of any type
        raise UserError(f"hf:{name}: {' '.join(str(error).split())[:300]}") from error


def pretrained_model(
    transformers: ModuleType, folder: Path, config: Any, dtype: torch.dtype
) -> Any:
    """The model in ``folder`` with its weights in ``dtype``."""
    options = {"use_safetensors": True, "dtype": dtype, "output_loading_info": True}
    auto_class = _auto_class(transformers, config)
    model, info = auto_class.from_pretrained(folder, config=config, **options, **OFFLINE)
    if missing := info["missing_keys"]:
        raise UserError(f"its weights lack {min(missing)} of {type(model).__name__}")
    return model


def freeze_positions(model: Any) -> None:
    """Freeze sinusoids: they are not saved, and version 5 of transformers would train them."""
    for name in model._keys_to_ignore_on_save or ():
        model.get_parameter(name).requires_grad = False


def random_model(transformers: ModuleType, folder: Path, config: Any) -> Any:
    """A model of that config with random weights."""
    model = _auto_class(transformers, config).from_config(config, trust_remote_code=False)
    if (folder / "generation_config.json").is_file():
        generation = transformers.GenerationConfig.from_pretrained(folder, local_files_only=True)
        model.generation_config = generation
    return model


def _auto_class(transformers: ModuleType, config: Any) -> Any:
    if config.is_encoder_decoder:
        return transformers.AutoModelForSeq2SeqLM
    return transformers.AutoModelForCausalLM
