"""The files of a Hugging Face model: which there are, and where. They are data of other people."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from textgen_env.data.scope import current_scope
from textgen_env.errors import UserError


def words(text: str) -> frozenset[str]:
    """The words of ``text``."""
    return frozenset(text.split())


BASE = "base"  # subfolder of the folder of an adapter, with its base model
WEIGHTS, INDEX, ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_config.json"
VOCABULARIES = words("""
    tokenizer.json vocab.json merges.txt vocab.txt tokenizer.model spiece.model
    sentencepiece.bpe.model source.spm target.spm
""")
MAX_JSON, MAX_VOCABULARY = 16 << 20, 128 << 20  # bytes

# What a saved model keeps of the folder that it comes from, beside its config and its weights.
COMPANIONS = VOCABULARIES | words("""
    added_tokens.json tokenizer_config.json special_tokens_map.json generation_config.json
    chat_template.jinja chat_template.json
""")
DOWNLOADED = (*COMPANIONS, "config.json", WEIGHTS, INDEX, "model-*-of-*.safetensors", ADAPTER)


@dataclass(frozen=True)
class Original:
    """What a policy keeps of the model that it was loaded from, to save a folder like it.

    Attributes:
        folder: where it was loaded from.
        files: ``{name: content}`` of the tokenizer, the chat template and the generation config.
        tokenizer_class: name of the tokenizer's class in transformers.
        hub_name: by which anybody can load the same weights; None if there is no such name.
    """

    folder: Path
    files: dict[str, bytes]
    tokenizer_class: str
    hub_name: str | None


def read_companions(name: str, files: frozenset[str] = COMPANIONS) -> dict[str, bytes]:
    """``{file: content}`` of the tokenizer, the chat template and the generation config, unchanged.

    They are only copied into the folder of a model that is trained further. Open the model with
    ``sanitized_folder`` first, which refuses it if one of them refers to code.
    """
    folder = local_folder(name)
    paths = {file: plain_file(folder, file, MAX_VOCABULARY) for file in sorted(files)}
    return {file: path.read_bytes() for file, path in paths.items() if path}


def base_folder(name: str) -> str:
    """The subfolder of the base model, if ``name`` is the folder of an adapter that has one."""
    base = Path(name) / BASE
    return str(base) if base.is_dir() and not (Path(name) / "config.json").exists() else name


def is_hub_name(name: str) -> bool:
    """Whether ``name`` may be that of a model on the Hub: it is no folder and no path."""
    path = Path(name)
    outside = path.is_absolute() or name.startswith(".") or name.count("/") > 1
    return not (outside or path.is_dir())


def local_folder(name: str) -> Path:
    """The folder ``name``, or the downloaded files of that model on the Hub."""
    folder = Path(name)
    if folder.is_dir():
        return folder.resolve()
    if name.startswith("hf:"):
        raise UserError("only teacher.path and run have hf: before a model; leave it out here")
    if folder.is_file():
        raise UserError("it is a file; give the folder of the model")
    if not is_hub_name(name):
        local = not current_scope().downloads  # for a run, so it is its teacher
        moved = "; if it was moved, add teacher.path=hf:FOLDER" if local else ""
        raise UserError(f"no such folder{moved}")
    return _downloaded(name)


def _downloaded(name: str) -> Path:
    """The files of a model on the Hub, in the cache of huggingface_hub."""
    from huggingface_hub import constants, errors, snapshot_download

    local = not current_scope().downloads
    offline = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the Hub cannot be reached"
    try:
        return Path(snapshot_download(name, allow_patterns=[*DOWNLOADED], local_files_only=local))
    except Exception as error:  # huggingface_hub raises errors of many types
        if local and isinstance(error, errors.LocalEntryNotFoundError):
            reason = f"a run's folder downloads nothing: add teacher.path=hf:{name}, or its folder"
        elif isinstance(error, errors.LocalEntryNotFoundError):
            reason = f"{offline}: run `hf download {name}` first"
        elif isinstance(error, errors.GatedRepoError):
            page = f"https://huggingface.co/{name}"
            reason = f"the Hub gates it: accept its terms at {page} and run `hf auth login`"
        elif isinstance(error, errors.RepositoryNotFoundError):
            reason = "no such model on the Hub: check the name; a private one needs `hf auth login`"
        elif isinstance(error, errors.HFValidationError):
            reason = "a name on the Hub is like OWNER/NAME: correct it"
        else:
            start = " ".join(str(error).split())[:100]
            reason = f"the download failed ({type(error).__name__}: {start}): try again"
        raise UserError(f"no folder of that name, and {reason}") from error


def plain_file(folder: Path, name: str, limit: int | None = None) -> Path | None:
    """The resolved path of file ``name``; None if there is no such file.

    In the cache of the Hub, files are links into the ``blobs`` folder of the same model.

    Raises:
        UserError: It is not a plain file, is outside the folder, or is larger than ``limit`` bytes.
    """
    if not os.path.lexists(folder / name):
        return None
    roots = [folder.resolve()]
    if roots[0].parent.name == "snapshots":
        roots.append(roots[0].parent.parent / "blobs")
    path = (folder / name).resolve()
    if not any(path.is_relative_to(root) for root in roots):
        raise UserError(f"{name} links out of the folder; replace the link by the file")
    if not path.is_file():
        raise UserError(f"{name} is not a regular file; replace it by one")
    if limit is not None and (size := path.stat().st_size) > limit:
        raise UserError(f"{name} has {size:,} bytes, more than the limit of {limit:,}")
    return path
