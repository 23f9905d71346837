"""Saves a Hugging Face policy as a folder that ``AutoModel…`` and ``AutoTokenizer`` open.

With an adapter, PEFT opens the folder. Its subfolder ``base`` has the base model, so that it needs
no other.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agents.policies.adapters import has_adapter, merged, save_adapter, without_adapter
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.model_files import BASE
from agents.policies.tokenizer import CONFIG
from textgen_env.data.files import write_atomically
from textgen_env.types import EOS

GENERATION = "generation_config.json"


def save_files(policy: Any, folder: Path) -> None:
    """Save the config, the tokenizer, the chat template and the generation config.

    With an adapter, the config is that of the base model, in its subfolder, with its weights: a
    config in ``folder`` would make transformers expect all weights there. Nothing is saved of a
    policy that comes from no model folder.
    """
    if (original := getattr(policy, "original", None)) is None:
        return
    files, tokenizer = original.files, original.files.get(CONFIG, b"{}")
    if not has_adapter(policy):
        _write(folder, {**files, "config.json": _config(policy), GENERATION: _generation(policy)})
        return
    if original.folder != (folder / BASE).resolve():
        base = without_adapter(policy)
        save_files(base, folder / BASE)
        save_weights(base, folder / BASE)
    # without a config beside it, the tokenizer has to name its class
    named = {"tokenizer_class": original.tokenizer_class, **json.loads(tokenizer)}
    _write(folder, {name: files[name] for name in files if name != GENERATION} | {CONFIG: named})


def save_weights(policy: Any, folder: Path) -> None:
    """Save the weights beside the files, as transformers does, or the adapter, as PEFT does."""
    if (original := getattr(policy, "original", None)) is None:
        return
    if has_adapter(policy):
        save_adapter(policy, folder, original.hub_name or str((folder / BASE).resolve()))
        return
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as temporary:
        policy.model.save_pretrained(temporary)
        for path in Path(temporary).glob("model*.safetensors*"):
            shutil.copymode(folder / "config.json", path)  # safetensors: the owner's only
            os.replace(path, folder / path.name)


def save_merged(policy: HuggingFacePolicy, folder: Path) -> None:
    """Save a whole model, the adapter merged into its weights."""
    whole = merged(policy) if has_adapter(policy) else policy
    save_files(whole, folder)
    save_weights(whole, folder)


def _config(policy: HuggingFacePolicy) -> dict[str, Any]:
    dtype = str(next(policy.model.parameters()).dtype).removeprefix("torch.")
    own = {"architectures": [type(policy.model).__name__], "dtype": dtype}
    return policy.model.config.to_diff_dict() | own


def _generation(policy: HuggingFacePolicy) -> dict[str, Any]:
    """The generation config, so that ``generate`` suppresses what the policy never generates.

    Such as the padding of the output layer: training leaves those logits as they were.
    """
    original = policy.original and policy.original.files.get(GENERATION)
    config = json.loads(original or policy.model.generation_config.to_json_string())
    missing = {*policy.missing.tolist()}
    used = {index for token, index in enumerate(policy.ids.tolist()) if token not in missing}
    unused = {*range(len(policy.model.get_output_embeddings().weight))} - used
    if policy.template:
        config["eos_token_id"] = int(policy.ids[EOS])  # the end of a turn
    if suppressed := unused.union(config.get("suppress_tokens") or ()):
        config["suppress_tokens"] = sorted(suppressed)
    return config


def _write(folder: Path, files: dict[str, bytes | dict[str, Any]]) -> None:
    """Write files, those that are dictionaries as JSON."""
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content, indent=2).encode()
        write_atomically(folder / name, data)
