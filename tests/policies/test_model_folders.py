"""Ordinary model folders load unchanged: sharded, in the cache of the Hub, downloaded."""

from __future__ import annotations

import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers

from agents.policies.pretrained import load_pretrained
from support.pretrained_models import FAMILIES
from textgen_env.data.scope import local_only
from textgen_env.errors import UserError


def weights(name: Path | str) -> dict[str, torch.Tensor]:
    return load_pretrained(str(name)).model.state_dict()


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_sharded_weights_are_loaded(folders, copied):
    folder = copied("gpt2")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="10KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert equal(weights(folder), weights(folders["gpt2"]))


def hub_cache(model: Path, cache: Path) -> Path:
    """The model as ``owner/name`` in a cache of huggingface_hub: links into ``blobs``."""
    repository = cache / "models--owner--name"
    snapshot = repository / "snapshots" / ("0" * 40)
    for folder in (snapshot, repository / "blobs", repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    for number, path in enumerate(sorted(model.iterdir())):
        shutil.copy(path, repository / "blobs" / str(number))
        (snapshot / path.name).symlink_to(Path("../../blobs", str(number)))
    return snapshot


def test_links_within_the_hub_cache_are_followed(folders, tmp_path, monkeypatch):
    snapshot = hub_cache(folders["gpt2"], tmp_path)
    assert equal(weights(snapshot), weights(folders["gpt2"]))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with local_only():
        assert equal(weights("owner/name"), weights(folders["gpt2"]))
    (snapshot / "model.safetensors").unlink()
    blobs = tmp_path / "models--owner--name" / "blobs"
    shutil.move(blobs, tmp_path / "blobs")
    blobs.symlink_to(tmp_path / "blobs")
    with pytest.raises(UserError, match="links out of the folder"):
        load_pretrained(str(snapshot))


def test_only_allowed_files_are_downloaded(folders, monkeypatch):
    calls = {}

    def download(name, **options):
        calls[name] = options
        return str(folders["gpt2"])

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    load_pretrained("owner/name")
    patterns = calls["owner/name"]["allow_patterns"]
    assert {path.name for path in folders["gpt2"].iterdir()} <= {*patterns}
    for name in ("generate.py", "pytorch_model.bin", "model.gguf", "a.jinja"):
        assert not [pattern for pattern in patterns if fnmatch(name, pattern)]
        assert not [pattern for pattern in patterns if fnmatch(f"custom_generate/{name}", pattern)]


HUB_ERRORS = {
    "LocalEntryNotFoundError": "the Hub cannot be reached: run `hf download owner/name` first",
    "RepositoryNotFoundError": "no such model on the Hub: check the name",
    "GatedRepoError": "accept its terms at https://huggingface.co/owner/name and run",
    "HFValidationError": "a name on the Hub is like OWNER/NAME",
    "FileMetadataError": "the download failed (FileMetadataError: a message): try again",
}


@pytest.mark.parametrize("kind", HUB_ERRORS)
def test_what_the_hub_does_not_give_is_told_in_one_line(kind, monkeypatch):
    error_class = getattr(huggingface_hub.errors, kind)

    def download(name, **options):
        raise error_class.__new__(error_class, "a\n\nmessage")  # needs no response

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(UserError) as error:
        load_pretrained("owner/name")
    message = str(error.value)
    assert message.startswith("hf:owner/name: no folder of that name, and ")
    assert HUB_ERRORS[kind] in message
    assert "\n" not in message
    assert len(message) < 200


def without_dtype(config: dict[str, Any]) -> dict[str, Any]:
    """The weights are loaded as float32, whatever their dtype."""
    ignored = {"dtype", "torch_dtype", "_name_or_path"}
    return {
        key: without_dtype(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in ignored
    }


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_model_keeps_its_config(family, folders):
    """Including sub-configs and old names of keys."""
    expected = transformers.AutoConfig.from_pretrained(folders[family]).to_dict()
    config = load_pretrained(str(folders[family])).model.config.to_dict()
    assert without_dtype(config) == without_dtype(expected)
