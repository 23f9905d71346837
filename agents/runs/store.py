"""Policies on disk: weights with what is needed to build the same policy again, beside the vocabulary they speak."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import nn

import agents.policies
from agents.discovery import build, settings, variants
from agents.training.checkpoint import load_tensors, load_weights
from textgen_env.data.files import DamagedFile
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError, unknown


def build_policy(name: str, settings: dict[str, Any], vocabulary: Vocabulary, seed: int) -> nn.Module:
    """A fresh policy of the architecture that the command line calls ``name``; ``seed`` alone decides its weights."""
    known = variants(agents.policies)
    if name not in known:
        raise unknown("architecture", name, known)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(known[name].func, settings, vocabulary_size=len(vocabulary))


def describe_policy(name: str, settings: dict[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """The header that every checkpoint of this policy carries."""
    return {"architecture": {"name": name, "settings": settings}, "vocabulary": vocabulary.fingerprint}


def fingerprint(policy: nn.Module) -> str:
    """16 hex digits over every weight and its name."""
    digest = blake2b(digest_size=8)
    for name, tensor in policy.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    """``vocabulary.json`` in a run folder."""
    vocabulary.save(folder / "vocabulary.json")


def load_policy(folder: Path, vocabulary: Vocabulary) -> tuple[nn.Module, dict[str, Any]]:
    """The best policy of a run folder and its checkpoint's header; it must speak ``vocabulary``."""
    if not folder.is_dir():
        raise UserError(f"no run folder at {folder}")
    path = folder / "checkpoints" / "best.safetensors"
    try:
        tensors, header = load_tensors(path)
    except DamagedFile as error:
        raise DamagedFile(f"{error}: {_remedy(folder)}") from error
    _check_header(header, path)
    if header["vocabulary"] != vocabulary.fingerprint:
        raise UserError(
            f"{path} speaks another vocabulary ({header['vocabulary']}) than this corpus ({vocabulary.fingerprint}, "
            f"{len(vocabulary)} tokens): give it the corpus and env.vocabulary it was trained with"
        )
    name, chosen = header["architecture"]["name"], header["architecture"]["settings"]
    known = variants(agents.policies)
    if name not in known or chosen.keys() - settings(known[name]):
        raise UserError(f"{path} is of another version of this project: there is no {name} with {', '.join(chosen)} now")
    try:
        policy = build_policy(name, chosen, vocabulary, seed=0)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: no {name} can be built from its settings ({str(error).splitlines()[0]})") from error
    load_weights(policy, tensors, path)
    return policy, header


def _check_header(header: dict[str, Any], path: Path) -> None:
    """UserError unless ``header`` says what ``describe_policy`` does."""
    described = header.get("architecture")
    architecture = described if isinstance(described, dict) else {}
    texts = architecture.get("name"), header.get("vocabulary")
    if not all(isinstance(text, str) for text in texts) or not isinstance(architecture.get("settings"), dict):
        raise UserError(f"{path} does not say what policy it holds; name the folder of a run")


def _remedy(folder: Path) -> str:
    """What to do about a damaged ``best.safetensors`` in ``folder``."""
    if (folder / "config.yaml").is_file():
        return f"restore a copy; or delete it and repeat the run's command with out={folder} resume=true"
    return f"restore a copy; or delete {folder} and repeat the command that made it"
