"""A model folder is data: it runs no code, opens no network and reads nothing outside itself.

One hostile folder per attack, opened in a process with an audit hook.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from support.hostile import (
    INDEX,
    Attack,
    audit,
    canary,
    check,
    custom_generate,
    edit,
    linked_outside,
    make_sandbox,
    outside,
    pickle_in_index,
    replaced,
)
from support.pretrained_models import FAMILIES


def config(**changes: object) -> Attack:
    return lambda folder: edit(folder / "config.json", **changes)


def tokenizer_config(**changes: object) -> Attack:
    return lambda folder: edit(folder / "tokenizer_config.json", **changes)


def both(*attacks: Attack) -> Attack:
    return lambda folder: [attack(folder) for attack in attacks]


def remote_model(folder: Path) -> None:
    (folder / "evil.py").write_text(canary(folder))
    edit(folder / "config.json", auto_map={"AutoConfig": "evil.Config"}, model_type="evil")


def remote_tokenizer(folder: Path) -> None:
    (folder / "evil.py").write_text(canary(folder))
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.A", "evil.B"]})


def index_outside(folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder / "other.safetensors")
    shutil.move(folder / "model.safetensors", outside(folder) / "model-00001-of-00001.safetensors")
    file = os.path.relpath(outside(folder) / "model-00001-of-00001.safetensors", folder)
    names = load_file(folder / file)
    edit(folder / INDEX, metadata={"total_size": 1}, weight_map=dict.fromkeys(names, file))


def missing_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    edit(folder / INDEX, weight_map={"a": "model-00001-of-00001.safetensors"})


def index_without_map(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    edit(folder / INDEX, weight_map=["a"])


def weights_named_outside(folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder / "other.safetensors")
    shutil.move(folder / "model.safetensors", outside(folder) / "model.safetensors")
    file = os.path.relpath(outside(folder) / "model.safetensors", folder)
    edit(folder / "config.json", transformers_weights=file)


def file_outside(key: str) -> Attack:
    """Name a file outside in the tokenizer's config; the folder's own file must be used."""
    return lambda folder: edit(
        folder / "tokenizer_config.json", **{key: str(outside(folder) / "tokenizer.json")}
    )


def weights_of(framework: str) -> Attack:
    def attack(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        save_file(weights, folder / "model.safetensors", {"format": framework})

    return attack


def fifo(name: str) -> Attack:
    def attack(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return attack


def truncated_to(name: str, size: int) -> Attack:
    return lambda folder: os.truncate(folder / name, size)


def chat_templates(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ ''.__class__ }}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "a.jinja").write_text("{{ ''.__class__ }}")


def unused_pickle_and_code(folder: Path) -> None:
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "modeling_evil.py").write_text(canary(folder))
    (folder / "requirements.txt").write_text("evil\n")


CODE = "refers to custom code"
FILES = "refers to other files"
LINK = "links out of the folder"
KERNEL = "would download and run code"
UNSUPPORTED = "is not a supported text model"
# name: (what is done to a good folder, the error message; "" if the folder loads, unharmed)
ATTACKS: dict[str, tuple[Attack, str]] = {
    "custom_generate": (custom_generate, ""),
    "custom_generate in config": (config(custom_generate="evil/generate"), CODE),
    "auto_map": (remote_model, f"config.json: auto_map: {CODE}"),
    "auto_map of tokenizer": (remote_tokenizer, f"tokenizer_config.json: auto_map: {CODE}"),
    "auto_map of generation": (
        lambda folder: edit(folder / "generation_config.json", auto_map={"A": "b.C"}),
        CODE,
    ),
    "nested auto_map": (
        config(decoder={"parts": [{"auto_map": {"AutoConfig": "evil--a.B"}}]}),
        CODE,
    ),
    "pickle in index": (pickle_in_index, f"{INDEX} names 'model-00002-of-00002.bin'"),
    "index outside": (index_outside, f"{INDEX} names '../../outside/"),
    "missing shard": (missing_shard, "model-00001-of-00001.safetensors, listed in"),
    "index without map": (index_without_map, f"{INDEX} has no weight_map"),
    "nested index": (both(index_without_map, replaced(INDEX, "[" * 10**6)), "is not valid JSON"),
    "weights outside": (weights_named_outside, FILES),
    "weights link": (linked_outside("model.safetensors"), f"model.safetensors {LINK}"),
    "weights of tf": (weights_of("tf"), "model.safetensors has format 'tf'"),
    "weights of flax": (weights_of("flax"), "model.safetensors has format 'flax'"),
    "config link": (linked_outside("config.json"), f"config.json {LINK}"),
    "tokenizer link": (linked_outside("tokenizer.json"), f"tokenizer.json {LINK}"),
    "kernel": (config(_attn_implementation_internal="evil/kernel"), KERNEL),
    "public kernel": (config(attn_implementation="evil/kernel"), KERNEL),
    "nested kernel": (config(text_config={"_attn_implementation": "evil/a:b"}), KERNEL),
    "flash attention": (config(_attn_implementation_internal="flash_attention_2"), ""),
    "use_kernels": (config(use_kernels=True), ""),
    "quantized": (config(quantization_config={"quant_method": "mxfp4"}), "weights are quantized"),
    "versioned config": (
        config(configuration_files=["config.4.0.0/../../../outside/x.json"]),
        FILES,
    ),
    "versioned tokenizer": (
        tokenizer_config(fast_tokenizer_files=["tokenizer.4.0.0.json"]),
        FILES,
    ),
    "tokenizer_file": (file_outside("tokenizer_file"), ""),
    "vocab_file": (file_outside("vocab_file"), ""),
    "special_tokens_map_file": (file_outside("special_tokens_map_file"), ""),
    "name_or_path": (tokenizer_config(name_or_path="evil/model", _name_or_path="evil/model"), ""),
    "init_inputs": (tokenizer_config(init_inputs=["/etc/passwd"]), ""),
    "tokenizer_class": (
        tokenizer_config(tokenizer_class="AutoModel"),
        "tokenizer_class='AutoModel' is not a tokenizer",
    ),
    "tokenizer_class of config": (
        both(tokenizer_config(tokenizer_class=None), config(tokenizer_class="RagTokenizer")),
        "tokenizer_class='RagTokenizer' is not a tokenizer",
    ),
    "adapter": (
        lambda folder: edit(folder / "adapter_config.json", base_model_name_or_path="evil/base"),
        "it is an adapter",
    ),
    "unknown model_type": (config(model_type="evil"), f"model_type='evil' {UNSUPPORTED}"),
    "model_type null": (config(model_type=None), f"model_type=None {UNSUPPORTED}"),
    "model_type list": (config(model_type=["gpt2"]), UNSUPPORTED),
    "backbone": (
        config(model_type="vision-encoder-decoder", backbone="evil/net", use_timm_backbone=True),
        UNSUPPORTED,
    ),
    "compiled model": (config(model_type="rwkv"), UNSUPPORTED),
    "JSON list": (replaced("config.json", "[]"), "config.json is not a JSON object"),
    "invalid JSON": (replaced("tokenizer_config.json", "{"), "tokenizer_config.json is not valid"),
    "nested JSON": (replaced("config.json", '{"a":' * 10**5), "config.json is not valid JSON"),
    "large config": (truncated_to("config.json", 17 << 20), "config.json has 17,825,792 bytes"),
    "large tokenizer": (
        truncated_to("tokenizer.json", 129 << 20),
        "tokenizer.json has 135,266,304 bytes",
    ),
    "fifo": (fifo("generation_config.json"), "generation_config.json is not a regular file"),
    "chat templates": (chat_templates, ""),
    "unused files": (unused_pickle_and_code, ""),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    sandbox = make_sandbox(tmp_path_factory)
    torch.manual_seed(0)
    good = FAMILIES["gpt2"](sandbox / "good")
    jobs = {}
    for number, (name, (attack, _)) in enumerate(ATTACKS.items()):
        folder = shutil.copytree(good, sandbox / "in" / f"{number}")
        attack(folder)
        jobs[name] = ["model", str(folder)]
    imports = ("agents.policies.pretrained", "transformers.models.gpt2.modeling_gpt2")
    return audit(sandbox, jobs, imports)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_model_folder_does_nothing(name: str, outcomes: dict[str, dict[str, Any]]):
    check(outcomes[name], ATTACKS[name][1])
    assert "\n" not in outcomes[name]["output"]
