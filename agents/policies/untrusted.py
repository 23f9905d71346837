"""A folder from the net is data: what transformers gets to see of a Hugging Face model folder.

A folder can make transformers run code, open the network or read elsewhere in many ways, some of
them whatever ``trust_remote_code`` says: ``custom_generate/generate.py``, ``auto_map``, kernels
named as an attention implementation, paths in any of its JSON files, links.  So transformers never
opens the folder.  ``clean_view`` makes a temporary one, which is all that is loaded from:

- weights and vocabularies, by an allow-list of names: links to plain files inside the folder;
- JSON files, written anew with an allow-list of keys.

Other files are not looked at.  Other keys are left out, as only code of the folder's own could read
them; the keys of ``REFUSED`` change what the model is, and are refused.
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
VOCABULARIES = (
    *("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model"),
    *("spiece.model", "sentencepiece.bpe.model", "source.spm", "target.spm"),
)
JSON_FILES = (
    *("config.json", "generation_config.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json"),
)
DOWNLOADED = (*JSON_FILES, *VOCABULARIES, WEIGHTS, INDEX, "model-*-of-*.safetensors", ADAPTER)
MOST_JSON, MOST_VOCABULARY = 16 << 20, 128 << 20  # bytes

# Text models whose code in transformers (4.57) neither imports by name, compiles, downloads nor
# opens files: ``model_type`` of config.json.  Read a new one's modeling file before it is added.
MODEL_TYPES = _words("""
    bart bigbird_pegasus blenderbot blenderbot-small led longt5 m2m_100 marian mbart mt5 mvp
    nllb-moe pegasus pegasus_x plbart prophetnet switch_transformers t5 umt5
    apertus arcee bert biogpt bloom codegen cohere cohere2 falcon gemma gemma2 gemma3_text glm glm4
    gpt2 gpt_bigcode gpt_neo gpt_neox gptj granite helium llama ministral mistral mixtral
    mpt nemotron olmo olmo2 olmo3 olmoe opt persimmon phi phi3 phimoe qwen2 qwen2_moe qwen3
    qwen3_moe seed_oss smollm3 stablelm starcoder2 xglm
""")

# key, at any depth of any JSON file → why it is refused, and what to do
_CODE = "names code of the folder's own, which is never run; use a model that transformers has"
_QUANTIZED = "its weights are quantized; save the model in float32 or bfloat16"
_FILES = "names other files; only those under their usual names are read: remove the key"
REFUSED = {
    "auto_map": _CODE,
    "custom_generate": _CODE,
    "quantization_config": _QUANTIZED,
    "compression_config": _QUANTIZED,
    "configuration_files": _FILES,
    "fast_tokenizer_files": _FILES,
    "transformers_weights": _FILES,
}
ATTENTION = re.compile("_?attn_implementation(_internal)?")
ATTENTIONS = (None, "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")

TOKEN_IDS = _words("""
    bos_token_id eos_token_id pad_token_id sep_token_id
    decoder_start_token_id forced_bos_token_id forced_eos_token_id
""")
# Keys of config.json that any model may have, beside the parameters of its own config class.
CONFIG_KEYS = TOKEN_IDS | _words("""
    architectures model_type transformers_version is_encoder_decoder is_decoder add_cross_attention
    cross_attention_hidden_size tie_word_embeddings tie_encoder_decoder tokenizer_class
""")
NOT_TAKEN = _words("dtype torch_dtype kwargs")  # the weights are loaded as float32
SPECIAL_TOKENS = _words("""
    bos_token eos_token unk_token sep_token pad_token cls_token mask_token additional_special_tokens
""")
TOKENIZER_KEYS = SPECIAL_TOKENS | _words("""
    tokenizer_class added_tokens_decoder model_max_length legacy add_bos_token add_eos_token
    add_prefix_space trim_offsets errors do_lower_case strip_accents tokenize_chinese_chars
    keep_accents clean_up_tokenization_spaces split_special_tokens extra_ids offset mask_token_sent
    src_lang tgt_lang source_lang target_lang language_codes separate_vocabs
""")


@contextmanager
def clean_view(name: str, transformers: ModuleType) -> Iterator[Path]:
    """A temporary folder with what may be loaded of the model in folder ``name``.

    Args:
        name: A folder, or a model's name on the hub: what the allow-list names is downloaded.
        transformers: The package, whose config classes say which keys their models have.

    Raises:
        UserError: One line that names the file, and what to do.
    """
    folder = _folder(name)
    if os.path.lexists(folder / ADAPTER):
        raise UserError("it holds an adapter; merge it into its model and save that")
    files = {file: path for file in VOCABULARIES if (path := _plain_file(folder, file))}
    for file, path in files.items():
        _check_size(path, file, MOST_VOCABULARY)
    written = {file: content for file in JSON_FILES if (content := _read(folder, file)) is not None}
    if "config.json" not in written:
        raise UserError("no config.json in it; save_pretrained writes one")
    for file, content in written.items():
        if file != "added_tokens.json":  # whose keys are tokens
            _check_keys(content, file)
    shards, index = _weights(folder)
    if index is not None:
        written[INDEX] = index
    written["config.json"] = _config(written["config.json"], transformers)
    for file, keys in (
        ("generation_config.json", TOKEN_IDS),
        ("tokenizer_config.json", TOKENIZER_KEYS),
        ("special_tokens_map.json", SPECIAL_TOKENS),
    ):
        if file in written:
            written[file] = _only(written[file], keys)
    for file in ("config.json", "tokenizer_config.json"):
        _check_tokenizer_class(written.get(file, {}).get("tokenizer_class"), file, transformers)
    with TemporaryDirectory(prefix="textgen-env-") as view:
        for file, target in {**files, **shards}.items():
            os.symlink(target, Path(view, file))
        for file, content in written.items():
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
        found = snapshot_download(name, allow_patterns=[*DOWNLOADED], local_files_only=local)
    except Exception as error:  # whatever the hub, the network or the package raises
        reason = f"a run's folder downloads nothing: run `hf download {name}` first" if local else f"from the hub: {error}"
        raise UserError(f"no folder of that name, and {reason}") from error
    return Path(found)


def _plain_file(folder: Path, name: str) -> Path | None:
    """The file itself behind ``name``, if it is there; UserError where it is outside the folder.

    In the hub's cache files are links into ``blobs`` of the same model.
    """
    if not os.path.lexists(folder / name):
        return None
    roots = [folder.resolve()]
    if roots[0].parent.name == "snapshots":
        roots.append(roots[0].parent.parent / "blobs")
    found = (folder / name).resolve()
    if not any(found.is_relative_to(root) for root in roots):
        raise UserError(f"{name} is a link out of the folder; put the file itself there")
    if not found.is_file():
        raise UserError(f"{name} is no file; put the file itself there")
    return found


def _check_size(path: Path, name: str, most: int) -> None:
    if (size := path.stat().st_size) > most:
        raise UserError(f"{name} has {size:,} bytes, and at most {most:,} are read; use another copy")


def _read(folder: Path, name: str) -> dict[str, Any] | None:
    """The JSON object in ``name``, if it is there."""
    path = _plain_file(folder, name)
    if path is None:
        return None
    _check_size(path, name, MOST_JSON)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is no JSON ({error}); download it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{name} is no JSON object; download it again")
    return content


def _check_keys(content: Any, where: str) -> None:
    """UserError where ``content`` has, at any depth, a key or an attention that is refused."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if key in REFUSED and value is not None:
            raise UserError(f"{where}: {key}: {REFUSED[key]}")
        if isinstance(key, str) and ATTENTION.fullmatch(key) and value not in ATTENTIONS:
            raise UserError(f"{where}: {key}={value!r} would be downloaded and run; remove the key")
        if isinstance(value, dict | list):
            _check_keys(value, where)


def _weights(folder: Path) -> tuple[dict[str, Path], dict[str, Any] | None]:
    """``{name: file}`` of the weights, and the index of several."""
    index, names = None, [WEIGHTS]
    if not os.path.lexists(folder / WEIGHTS):
        index = _read(folder, INDEX)
        if index is None:
            raise UserError("no safetensors weights in it, and nothing else is read; save_pretrained writes them")
        places = index.get("weight_map")
        if not isinstance(places, dict) or not places:
            raise UserError(f"{INDEX} has no weight_map; download it again")
        for file in places.values():
            if not isinstance(file, str) or not SHARD.fullmatch(file):
                raise UserError(
                    f"{INDEX} names {file!r}, and only files like model-00001-of-00002.safetensors "
                    "beside it are read; save_pretrained writes them"
                )
        index, names = {"metadata": {}, "weight_map": places}, sorted(set(places.values()))
    found = {}
    for name in names:
        file = _plain_file(folder, name)
        if file is None:
            raise UserError(f"{name} is missing, which {INDEX} names; download it again")
        with safe_open(file, framework="pt") as opened:
            form = (opened.metadata() or {}).get("format", "pt")
        if form not in ("pt", "mlx"):  # tf and flax would start these packages
            raise UserError(f"{name} is of format {form!r}; save the model from PyTorch")
        found[name] = file
    return found, index


def _config(config: dict[str, Any], transformers: ModuleType) -> dict[str, Any]:
    """``config`` with the keys that its model has in transformers."""
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in MODEL_TYPES:
        raise UserError(
            f"config.json: model_type={kind!r} is no text model known here; use one of agents.policies.untrusted.MODEL_TYPES"
        )
    if kind not in transformers.CONFIG_MAPPING:
        raise UserError(f"config.json: transformers {transformers.__version__} has no model_type={kind!r}; update it")
    return _of_class(config, transformers.CONFIG_MAPPING[kind])


def _of_class(config: dict[str, Any], kind: Any) -> dict[str, Any]:
    """``config`` with the parameters of its class ``kind``; those of its parts likewise."""
    keys = CONFIG_KEYS | inspect.signature(kind).parameters.keys() | kind.attribute_map.keys()
    kept = _only(config, keys - NOT_TAKEN)
    for name, part in kind.sub_configs.items():
        if isinstance(kept.get(name), dict):
            kept[name] = _of_class(kept[name], part)
    return kept


def _only(content: dict[str, Any], keys: Any) -> dict[str, Any]:
    return {key: content[key] for key in content if key in keys and not key.startswith("_")}


def _check_tokenizer_class(name: Any, where: str, transformers: ModuleType) -> None:
    """UserError where it is no tokenizer: transformers would call any class of its own."""
    if name is None:
        return
    known = [getattr(transformers, f"{name}{end}", None) for end in ("", "Fast")]
    base = transformers.PreTrainedTokenizerBase
    if not any(isinstance(kind, type) and issubclass(kind, base) for kind in known):
        raise UserError(f"{where}: tokenizer_class={name!r} is no tokenizer of transformers; use another model")
