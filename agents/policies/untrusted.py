"""A folder from the net is data: the part of a Hugging Face model folder that transformers gets to see.

A folder can make transformers run code, open the network or read other files in many ways, some of them whatever
``trust_remote_code`` says: ``custom_generate/generate.py``, ``auto_map``, kernels named as an attention implementation, paths
in any of its JSON files, links.  So transformers never opens the folder.  ``clean_view`` makes a temporary one, and only that
is loaded:

- weights and vocabularies, by an allow-list of names: links to plain files inside the folder;
- JSON files, rewritten with an allow-list of keys.

Other files are ignored.  Other keys are left out, as only code of the folder could use them; the keys of ``REFUSED`` change
what the model is, and are refused.
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

from safetensors import safe_open

from textgen_env.data.hub import is_local_only
from textgen_env.errors import UserError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


WEIGHTS, INDEX, ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_config.json"
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
VOCABULARIES = _words("""
    tokenizer.json vocab.json merges.txt vocab.txt tokenizer.model spiece.model sentencepiece.bpe.model source.spm
    target.spm
""")
MAX_JSON, MAX_VOCABULARY = 16 << 20, 128 << 20  # bytes

# ``model_type`` of text models whose code in transformers (4.57) neither imports by name, compiles, downloads nor opens
# files.  Read the modeling file of a new one before you add it.
MODEL_TYPES = _words("""
    bart bigbird_pegasus blenderbot blenderbot-small led longt5 m2m_100 marian mbart mt5 mvp nllb-moe pegasus pegasus_x
    plbart prophetnet switch_transformers t5 umt5 apertus arcee bert biogpt bloom codegen cohere cohere2 falcon gemma gemma2
    gemma3_text glm glm4 gpt2 gpt_bigcode gpt_neo gpt_neox gptj granite helium llama ministral mistral mixtral mpt nemotron
    olmo olmo2 olmo3 olmoe opt persimmon phi phi3 phimoe qwen2 qwen2_moe qwen3 qwen3_moe seed_oss smollm3 stablelm
    starcoder2 xglm
""")

# key, at any depth of any JSON file → why it is refused, and what to do
REFUSED = {
    **dict.fromkeys(
        ["auto_map", "custom_generate"],
        "names code of the folder's own, which is never run; use a model that transformers has",
    ),
    **dict.fromkeys(
        ["quantization_config", "compression_config"],
        "its weights are quantized; save the model in float32 or bfloat16",
    ),
    **dict.fromkeys(
        ["configuration_files", "fast_tokenizer_files", "transformers_weights"],
        "names other files; only those under their usual names are read: remove the key",
    ),
}
ATTENTION = re.compile("_?attn_implementation(_internal)?")
ATTENTIONS = (None, "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")

TOKEN_IDS = _words("""
    bos_token_id eos_token_id pad_token_id sep_token_id decoder_start_token_id forced_bos_token_id forced_eos_token_id
""")
SPECIAL_TOKENS = _words("""
    bos_token eos_token unk_token sep_token pad_token cls_token mask_token additional_special_tokens
""")
TOKENIZER_KEYS = _words("""
    tokenizer_class added_tokens_decoder model_max_length legacy add_bos_token add_eos_token add_prefix_space trim_offsets
    errors do_lower_case strip_accents tokenize_chinese_chars keep_accents clean_up_tokenization_spaces split_special_tokens
    extra_ids offset mask_token_sent src_lang tgt_lang source_lang target_lang language_codes separate_vocabs
""")
CONFIG_KEYS = _words("""
    architectures model_type transformers_version is_encoder_decoder is_decoder add_cross_attention tokenizer_class
    cross_attention_hidden_size tie_word_embeddings tie_encoder_decoder
""")  # of any model, beside the parameters of its config class
NOT_TAKEN = {"dtype", "torch_dtype", "kwargs"}  # the weights are loaded as float32
JSON_KEYS = {  # file → its allowed keys; None: all of them, or chosen below
    "config.json": None,
    "added_tokens.json": None,  # its keys are tokens
    "generation_config.json": TOKEN_IDS,
    "tokenizer_config.json": SPECIAL_TOKENS | TOKENIZER_KEYS,
    "special_tokens_map.json": SPECIAL_TOKENS,
}
DOWNLOADED = (*JSON_KEYS, *VOCABULARIES, WEIGHTS, INDEX, "model-*-of-*.safetensors", ADAPTER)


@contextmanager
def clean_view(name: str, transformers: ModuleType) -> Iterator[Path]:
    """A temporary folder with what may be loaded of the model in folder ``name``.

    Args:
        name: A folder, or the name of a model on the hub: the files of the allow-list are downloaded.
        transformers: The package, whose config classes tell the keys of their models.

    Raises:
        UserError: One line that names the file, and what to do.
    """
    folder = _folder(name)
    if os.path.lexists(folder / ADAPTER):
        raise UserError("it holds an adapter; merge it into its model and save that")
    links = {
        file: path for file in VOCABULARIES if (path := _plain_file(folder, file, MAX_VOCABULARY))
    }
    contents = {file: content for file in JSON_KEYS if (content := _json(folder, file)) is not None}
    if "config.json" not in contents:
        raise UserError("no config.json in it; save_pretrained writes one")
    for file, content in contents.items():
        if file != "added_tokens.json":
            _check_keys(content, file)
        if keys := JSON_KEYS[file]:
            contents[file] = _only(content, keys)
    shards, index = _weights(folder)
    if index is not None:
        contents[INDEX] = index
    contents["config.json"] = _config(contents["config.json"], transformers)
    for file in ("config.json", "tokenizer_config.json"):
        _check_tokenizer_class(contents.get(file, {}).get("tokenizer_class"), file, transformers)
    with TemporaryDirectory(prefix="textgen-env-") as view:
        for file, target in {**links, **shards}.items():
            os.symlink(target, Path(view, file))
        for file, content in contents.items():
            Path(view, file).write_text(json.dumps(content), encoding="utf-8")
        yield Path(view)


def _folder(name: str) -> Path:
    """The folder ``name``, or the one in the hub's cache that holds the model of that name."""
    folder = Path(name)
    if folder.is_dir():
        return folder.resolve()
    if folder.is_absolute() or name.startswith(".") or name.count("/") > 1:
        raise UserError("no such folder")
    from huggingface_hub import snapshot_download

    local = is_local_only()
    try:
        return Path(snapshot_download(name, allow_patterns=[*DOWNLOADED], local_files_only=local))
    except Exception as error:  # whatever the hub, the network or the package raises
        reason = (
            f"a run's folder downloads nothing: run `hf download {name}` first"
            if local
            else f"from the hub: {error}"
        )
        raise UserError(f"no folder of that name, and {reason}") from error


def _plain_file(folder: Path, name: str, limit: int | None = None) -> Path | None:
    """The file itself behind ``name``, if it exists; UserError where it is outside the folder, or above ``limit`` bytes.

    In the hub's cache files are links into ``blobs`` of the same model.
    """
    if not os.path.lexists(folder / name):
        return None
    roots = [folder.resolve()]
    if roots[0].parent.name == "snapshots":
        roots.append(roots[0].parent.parent / "blobs")
    path = (folder / name).resolve()
    if not any(path.is_relative_to(root) for root in roots):
        raise UserError(f"{name} is a link out of the folder; put the file itself there")
    if not path.is_file():
        raise UserError(f"{name} is no file; put the file itself there")
    if limit is not None and (size := path.stat().st_size) > limit:
        raise UserError(
            f"{name} has {size:,} bytes, and at most {limit:,} are read; use another copy"
        )
    return path


def _json(folder: Path, name: str) -> dict[str, Any] | None:
    """The JSON object in ``name``, if it exists."""
    path = _plain_file(folder, name, MAX_JSON)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is no JSON ({error}); download it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{name} is no JSON object; download it again")
    return content


def _check_keys(content: Any, file: str) -> None:
    """UserError where ``content`` has, at any depth, a key or an attention that is refused."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if key in REFUSED and value is not None:
            raise UserError(f"{file}: {key}: {REFUSED[key]}")
        if isinstance(key, str) and ATTENTION.fullmatch(key) and value not in ATTENTIONS:
            raise UserError(f"{file}: {key}={value!r} would be downloaded and run; remove the key")
        if isinstance(value, dict | list):
            _check_keys(value, file)


def _weights(folder: Path) -> tuple[dict[str, Path], dict[str, Any] | None]:
    """``{name: file}`` of the weights, and the index where there are several files."""
    if os.path.lexists(folder / WEIGHTS):
        return {WEIGHTS: _weight_file(folder, WEIGHTS)}, None
    index = _json(folder, INDEX)
    if index is None:
        raise UserError(
            "no safetensors weights in it, and nothing else is read; save_pretrained writes them"
        )
    shards = index.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise UserError(f"{INDEX} has no weight_map; download it again")
    for file in shards.values():
        if not isinstance(file, str) or not SHARD.fullmatch(file):
            raise UserError(
                f"{INDEX} names {file!r}, and only files like model-00001-of-00002.safetensors "
                "beside it are read; save_pretrained writes them"
            )
    files = {name: _weight_file(folder, name) for name in sorted(set(shards.values()))}
    return files, {"metadata": {}, "weight_map": shards}


def _weight_file(folder: Path, name: str) -> Path:
    path = _plain_file(folder, name)
    if path is None:
        raise UserError(f"{name} is missing, which {INDEX} names; download it again")
    with safe_open(path, framework="pt") as file:
        form = (file.metadata() or {}).get("format", "pt")
    if form not in ("pt", "mlx"):  # tf and flax would start these packages
        raise UserError(f"{name} is of format {form!r}; save the model from PyTorch")
    return path


def _config(config: dict[str, Any], transformers: ModuleType) -> dict[str, Any]:
    """``config`` with the keys that its model has in transformers."""
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in MODEL_TYPES:
        raise UserError(
            f"config.json: model_type={kind!r} is no text model known here; use one of agents.policies.untrusted.MODEL_TYPES"
        )
    if kind not in transformers.CONFIG_MAPPING:
        raise UserError(
            f"config.json: transformers {transformers.__version__} has no model_type={kind!r}; update it"
        )
    return _of_class(config, transformers.CONFIG_MAPPING[kind])


def _of_class(config: dict[str, Any], kind: Any) -> dict[str, Any]:
    """``config`` with the parameters of its class ``kind``, and its parts likewise."""
    keys = (
        CONFIG_KEYS
        | TOKEN_IDS
        | inspect.signature(kind).parameters.keys()
        | kind.attribute_map.keys()
    )
    kept = _only(config, keys - NOT_TAKEN)
    for name, part in kind.sub_configs.items():
        if isinstance(kept.get(name), dict):
            kept[name] = _of_class(kept[name], part)
    return kept


def _only(content: dict[str, Any], keys: Any) -> dict[str, Any]:
    return {key: content[key] for key in content if key in keys and not key.startswith("_")}


def _check_tokenizer_class(name: Any, file: str, transformers: ModuleType) -> None:
    """UserError where it is no tokenizer: transformers would call any class of its own."""
    if name is None:
        return
    known = [getattr(transformers, f"{name}{end}", None) for end in ("", "Fast")]
    base = transformers.PreTrainedTokenizerBase
    if not any(isinstance(kind, type) and issubclass(kind, base) for kind in known):
        raise UserError(
            f"{file}: tokenizer_class={name!r} is no tokenizer of transformers; use another model"
        )
