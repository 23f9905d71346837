"""Opens Hugging Face models, by folder or by name on the Hub, in a temporary folder that is safe.

A model folder is untrusted. It can make transformers run code, open the network or read other files
in many ways, some of them despite ``trust_remote_code=False``: ``custom_generate/generate.py``,
``auto_map``, kernels named as an attention implementation, paths in any of its JSON files, links.
So transformers never opens it. ``sanitized_folder`` creates a temporary one, and only that is
loaded:

- weights and vocabularies, by an allow-list of names: links to plain files inside the folder;
- JSON files, rewritten with an allow-list of keys.

Other files are ignored. Other keys are dropped, because only code of the folder could use them; the
keys in ``REFUSED`` change what the model is, and raise an error.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from safetensors import SafetensorError, safe_open

from agents.policies.model_files import (
    ADAPTER,
    INDEX,
    MAX_JSON,
    MAX_VOCABULARY,
    VOCABULARIES,
    WEIGHTS,
    local_folder,
    plain_file,
    words,
)
from textgen_env.errors import UserError

OFFLINE: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
# ``model_type`` of the text models whose code in transformers (4.57 and 5.24) neither imports by
# name, nor compiles, downloads or opens files. Read the modeling file of a model before you add it.
MODEL_TYPES = words("""
    bart bigbird_pegasus blenderbot blenderbot-small led longt5 m2m_100 marian mbart mt5 mvp
    nllb-moe pegasus pegasus_x plbart prophetnet switch_transformers t5 umt5
    apertus arcee bert biogpt bloom codegen cohere cohere2 falcon gemma gemma2 gemma3_text glm glm4
    gpt2 gpt_bigcode gpt_neo gpt_neox gptj granite helium llama ministral mistral mixtral mpt
    nemotron olmo olmo2 olmo3 olmoe opt persimmon phi phi3 phimoe qwen2 qwen2_moe qwen3 qwen3_moe
    seed_oss smollm3 stablelm starcoder2 xglm
""")

_CODE = "refers to custom code, which is never run; use a model that is built into transformers"
_QUANTIZED = "the weights are quantized; save the model in float32 or bfloat16"
_FILES = "refers to other files, but only files with the usual names are read; remove the key"
REFUSED = {  # key, at any depth of any JSON file: why it is refused, and what to do
    **dict.fromkeys(["auto_map", "custom_generate"], _CODE),
    **dict.fromkeys(["quantization_config", "compression_config"], _QUANTIZED),
    **dict.fromkeys(
        ["configuration_files", "fast_tokenizer_files", "transformers_weights"], _FILES
    ),
}
ATTENTION = re.compile("_?attn_implementation(_internal)?")
ATTENTIONS = (None, "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")

TOKEN_IDS = words("""
    bos_token_id eos_token_id pad_token_id sep_token_id decoder_start_token_id forced_bos_token_id
    forced_eos_token_id
""")
SPECIAL_TOKENS = words("""
    bos_token eos_token unk_token sep_token pad_token cls_token mask_token
    additional_special_tokens
""")
TOKENIZER_KEYS = words("""
    tokenizer_class added_tokens_decoder model_max_length legacy add_bos_token add_eos_token
    add_prefix_space trim_offsets errors do_lower_case strip_accents tokenize_chinese_chars
    keep_accents clean_up_tokenization_spaces split_special_tokens extra_ids offset mask_token_sent
    src_lang tgt_lang source_lang target_lang language_codes separate_vocabs
""")
# of every model, in addition to the parameters of its config class
CONFIG_KEYS = words("""
    architectures model_type transformers_version is_encoder_decoder is_decoder add_cross_attention
    tokenizer_class cross_attention_hidden_size tie_word_embeddings tie_encoder_decoder
    scale_decoder_outputs
""")
DROPPED_KEYS = {"dtype", "torch_dtype", "kwargs"}  # the weights are loaded as float32
JSON_KEYS = {  # file: its allowed keys
    "config.json": None,  # depends on the model, see _known_keys
    "added_tokens.json": None,  # all: they are tokens
    "generation_config.json": TOKEN_IDS,
    "tokenizer_config.json": SPECIAL_TOKENS | TOKENIZER_KEYS,
    "special_tokens_map.json": SPECIAL_TOKENS,
}


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


@contextmanager
def sanitized_folder(name: str, transformers: ModuleType, weights: bool = True) -> Iterator[Path]:
    """Yield a temporary folder with the parts of a model folder that are safe to load.

    Args:
        name: A folder, or the name of a model on the Hub, which is downloaded.
        transformers: The package; its config classes define the keys of their models.
        weights: Whether to include the weights; a folder without them is refused then.

    Raises:
        UserError: The model is refused; the message names the file and what to do.
    """
    folder = local_folder(name)
    if weights and os.path.lexists(folder / ADAPTER):
        raise UserError("it is an adapter; merge it into its model and save the result")
    links = {
        file: path for file in VOCABULARIES if (path := plain_file(folder, file, MAX_VOCABULARY))
    }
    contents = {file: content for file in JSON_KEYS if (content := _json(folder, file)) is not None}
    if "config.json" not in contents:
        raise UserError("it has no config.json; save the model with save_pretrained")
    for file, content in contents.items():
        if file != "added_tokens.json":
            _check_keys(content, file)
        if keys := JSON_KEYS[file]:
            contents[file] = _subset(content, keys)
    shards, index = _weights(folder) if weights else ({}, None)
    if index is not None:
        contents[INDEX] = index
    contents["config.json"] = _sanitized_config(contents["config.json"], transformers)
    for file in ("config.json", "tokenizer_config.json"):
        _check_tokenizer_class(contents.get(file, {}).get("tokenizer_class"), file, transformers)
    with TemporaryDirectory(prefix="textgen-env-") as sanitized:
        for file, target in {**links, **shards}.items():
            os.symlink(target, Path(sanitized, file))
        for file, content in contents.items():
            Path(sanitized, file).write_text(json.dumps(content), encoding="utf-8")
        yield Path(sanitized)


def _json(folder: Path, name: str) -> dict[str, Any] | None:
    """The JSON object in file ``name``; None if there is no such file."""
    path = plain_file(folder, name, MAX_JSON)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is not valid JSON ({error}); download it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{name} is not a JSON object; download it again")
    return content


def _check_keys(content: Any, file: str) -> None:
    """Raise UserError for a refused key or attention implementation at any depth."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if key in REFUSED and value is not None:
            raise UserError(f"{file}: {key}: {REFUSED[key]}")
        if isinstance(key, str) and ATTENTION.fullmatch(key) and value not in ATTENTIONS:
            raise UserError(f"{file}: {key}={value!r} would download and run code; remove the key")
        if isinstance(value, dict | list):
            _check_keys(value, file)


def _weights(folder: Path) -> tuple[dict[str, Path], dict[str, Any] | None]:
    """``{name: path}`` of the weight files, and the index if the weights are sharded."""
    if os.path.lexists(folder / WEIGHTS):
        return {WEIGHTS: _weight_file(folder, WEIGHTS)}, None
    index = _json(folder, INDEX)
    if index is None:
        raise UserError("it has no safetensors weights; save the model with save_pretrained")
    shards = index.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise UserError(f"{INDEX} has no weight_map; download it again")
    for file in shards.values():
        if not isinstance(file, str) or not SHARD.fullmatch(file):
            raise UserError(
                f"{INDEX} names {file!r}, but weight files must be called like "
                "model-00001-of-00002.safetensors; save the model with save_pretrained"
            )
    files = {name: _weight_file(folder, name) for name in sorted(set(shards.values()))}
    return files, {"metadata": {}, "weight_map": shards}


def _weight_file(folder: Path, name: str) -> Path:
    path = plain_file(folder, name)
    if path is None:
        raise UserError(f"{name}, listed in {INDEX}, is missing; download it")
    try:
        with safe_open(path, framework="pt") as file:
            framework = (file.metadata() or {}).get("format", "pt")
    except SafetensorError as error:
        raise UserError(f"{name} is incomplete or damaged ({error}); download it again") from error
    if framework not in ("pt", "mlx"):  # for tf and flax, transformers imports those packages
        raise UserError(f"{name} has format {framework!r}; save the model from PyTorch")
    return path


def _sanitized_config(config: dict[str, Any], transformers: ModuleType) -> dict[str, Any]:
    """``config`` with only the keys that transformers knows for its ``model_type``."""
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in MODEL_TYPES:
        raise UserError(
            f"config.json: model_type={kind!r} is not a supported text model; "
            "use one of agents.policies.sanitized_folder.MODEL_TYPES"
        )
    if kind not in transformers.CONFIG_MAPPING:
        raise UserError(
            f"config.json: transformers {transformers.__version__} has no model_type={kind!r}; "
            "update transformers"
        )
    return _known_keys(config, transformers.CONFIG_MAPPING[kind])


def _known_keys(config: dict[str, Any], config_class: Any) -> dict[str, Any]:
    """``config`` with only the parameters of its class, and its sub-configs likewise."""
    parameters = inspect.signature(config_class).parameters.keys()
    names = config_class.attribute_map.items()  # a file may have either
    keys = CONFIG_KEYS | TOKEN_IDS | parameters | {name for pair in names for name in pair}
    config = _subset(config, keys - DROPPED_KEYS)
    for name, sub_class in config_class.sub_configs.items():
        if isinstance(config.get(name), dict):
            config[name] = _known_keys(config[name], sub_class)
    return config


def _subset(content: dict[str, Any], keys: Any) -> dict[str, Any]:
    return {key: content[key] for key in content if key in keys and not key.startswith("_")}


def _check_tokenizer_class(name: Any, file: str, transformers: ModuleType) -> None:
    """Raise UserError unless it is a tokenizer: transformers would call any of its classes."""
    if name is None:
        return
    classes = [getattr(transformers, f"{name}{suffix}", None) for suffix in ("", "Fast")]
    base = transformers.PreTrainedTokenizerBase
    if not any(isinstance(cls, type) and issubclass(cls, base) for cls in classes):
        raise UserError(
            f"{file}: tokenizer_class={name!r} is not a tokenizer of transformers; "
            "use another model"
        )
