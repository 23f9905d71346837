"""Opens Hugging Face models as policies: a folder, or the name of a model on the Hub."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch

from agents.policies.adapters import NO_ADAPTER, LoRA, add_adapter
from agents.policies.checks import check_family, check_identities, check_tokenizer
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.layer_dropping import keep_layers, smaller_config
from agents.policies.model_files import (
    BASE,
    Original,
    is_hub_name,
    local_folder,
    read_companions,
)
from agents.policies.sanitized_folder import OFFLINE, opened_model
from agents.policies.tokenizer import CHAT_TEMPLATE, PretrainedTokenizer, load_tokenizer
from textgen_env.data.chat_template import ChatTemplate
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError, unknown

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
INITS = ("pretrained", "random")


@dataclass
class PretrainedSettings:
    """An encoder–decoder or causal model of Hugging Face, as a teacher or to be trained further.

    Args:
        path: model folder, or name of a model on the Hub
        layers: layers to keep, evenly spaced with the first and the last; of an encoder-decoder,
            those of the encoder; null: all
        decoder_layers: decoder layers of an encoder-decoder to keep; null: all
        init: pretrained weights, or random ones of the same shapes
        dtype: of the weights; bfloat16 halves their memory, but small updates are rounded away, so
            train float32 weights with precision=bf16
        source_prefix: text before every source, as T5 needs it, tokenized separately
        separator: causal models: text between source and target, tokenized separately; empty: EOS
        lora: adapter that is trained instead of the weights, which are frozen
        vocabulary: expected; None: that of the model's tokenizer
        folder: where a run has saved the config and the tokenizer of a student; the weights are
            then random, to be loaded from a checkpoint
        template: of conversations, which then decides what is before and after a source
    """

    path: str | None = None
    layers: int | None = None
    decoder_layers: int | None = None
    init: Literal["pretrained", "random"] = "pretrained"
    dtype: Literal["float32", "bfloat16"] = "float32"
    source_prefix: str = ""
    separator: str = ""
    lora: LoRA = NO_ADAPTER
    vocabulary: Vocabulary | None = None
    folder: Path | None = None
    template: ChatTemplate | None = None

    def __post_init__(self) -> None:
        if isinstance(self.lora, dict):  # from the command line or a file
            self.lora = LoRA(**self.lora)
        if self.folder and self.lora.rank:
            self.folder = self.folder / BASE
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)
        if self.init not in INITS:
            raise unknown("init", self.init, INITS)
        if self.folder and not self.folder.is_dir():
            raise UserError(
                f"{self.folder} is missing, which holds the config of the student; restore it"
            )
        if not self.folder and not self.path:
            raise UserError("path=null: name a model folder or a model on the Hub")
        if self.template and (self.source_prefix or self.separator):
            raise UserError("source_prefix and separator: the chat template replaces them")

    def load(self) -> HuggingFacePolicy:
        """The policy, in eval mode.

        Raises:
            UserError: The model cannot be loaded, does not match its tokenizer or the vocabulary,
                or is not causal.
        """
        name = str(self.folder or self.path)
        tokenizer = self._tokenizer(name)
        with opened_model(name, self._has_weights()) as (transformers, folder):
            model = self._model(transformers, folder)
            check_tokenizer(model, tokenizer)
            policy = self._policy(model, tokenizer).eval()
            if not self.folder:
                check_identities(policy)
        policy.template, policy.original = tokenizer.template, self._original(name, tokenizer)
        if self.lora.rank is not None:
            add_adapter(policy, self.lora)
        return policy

    def _tokenizer(self, name: str) -> PretrainedTokenizer:
        tokenizer, expected = load_tokenizer(name, self.template), self.vocabulary
        if expected is None:
            return tokenizer
        tokenizer = tokenizer.aligned_with(expected)
        if tokenizer.vocabulary.fingerprint != expected.fingerprint:
            raise UserError(
                f"hf:{name}: its tokenizer has {len(tokenizer.vocabulary):,} tokens, which are not "
                f"the {len(expected):,} tokens of the task; use the tokenizer of the task"
            )
        return tokenizer

    def _has_weights(self) -> bool:
        """Whether to load weights; the checkpoint of a run has all, or only those of an adapter."""
        if torch.get_default_device().type == "meta":  # only the sizes are needed
            return False
        return bool(self.lora.rank) if self.folder else self.init == "pretrained"

    def _model(self, transformers: ModuleType, folder: Path) -> Any:
        """The model in ``folder``, with the layers to keep."""
        config = transformers.AutoConfig.from_pretrained(folder, **OFFLINE)
        check_family(config, transformers.__version__)
        if config.is_encoder_decoder and self.separator:
            raise UserError("separator is only for decoder-only models; leave it out")
        smaller, dtype = config, DTYPES[self.dtype]
        if not self.folder:  # its config has the numbers of layers already
            smaller = smaller_config(config, self.layers, self.decoder_layers)
        if not self._has_weights():
            model = _random_model(transformers, folder, smaller)
        else:
            model = _pretrained_model(transformers, folder, config, dtype)
            model = model if smaller is config else keep_layers(model, smaller)
        for weight in model.parameters():  # not buffers, such as frequencies of rotary positions
            weight.data = weight.data.to(dtype)
        # Sinusoids are not saved, and version 5 of transformers would train them.
        for weight_name in model._keys_to_ignore_on_save or ():
            model.get_parameter(weight_name).requires_grad = False
        return model

    def _policy(self, model: Any, tokenizer: PretrainedTokenizer) -> HuggingFacePolicy:
        """The policy with the ids before a source and before a target."""
        prefix, template = tokenizer.encode(self.source_prefix), tokenizer.template
        if model.config.is_encoder_decoder:
            before = tokenizer.prepended + prefix, _decoder_start(model, tokenizer.prepended)
            return HuggingFacePolicy(model, tokenizer.vocabulary, tokenizer.ids, *before)
        prepended = [] if template else tokenizer.prepended  # a template has its own
        before = prepended + prefix, tokenizer.encode(self.separator)
        keeps_eos = not self.separator and template is None
        return HuggingFacePolicy(model, tokenizer.vocabulary, tokenizer.ids, *before, keeps_eos)

    def _original(self, name: str, tokenizer: PretrainedTokenizer) -> Original:
        folder = local_folder(name)
        files = read_companions(str(folder))
        if tokenizer.template:
            files[CHAT_TEMPLATE] = tokenizer.template.text.encode()
        same = (self.layers, self.decoder_layers, self.init) == (None, None, "pretrained")
        hub_name = self.path if same and self.path and is_hub_name(self.path) else None
        return Original(folder, files, tokenizer.class_name, hub_name)


@wraps(PretrainedSettings, ["__doc__"], updated=())  # the signature and the meaning of its keys
def load_pretrained(path: str | None = None, **settings: Any) -> HuggingFacePolicy:
    """Load a model as a policy, in eval mode; the arguments are those of ``PretrainedSettings``."""
    return PretrainedSettings(path, **settings).load()


def _pretrained_model(
    transformers: ModuleType, folder: Path, config: Any, dtype: torch.dtype
) -> Any:
    """The model in ``folder`` with its weights in ``dtype``."""
    options = {"use_safetensors": True, "dtype": dtype, "output_loading_info": True}
    auto_class = _auto_class(transformers, config)
    model, info = auto_class.from_pretrained(folder, config=config, **options, **OFFLINE)
    if missing := info["missing_keys"]:
        raise UserError(f"its weights lack {min(missing)} of {type(model).__name__}")
    return model


def _random_model(transformers: ModuleType, folder: Path, config: Any) -> Any:
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


def _decoder_start(model: Any, prepended: list[int]) -> list[int]:
    """The decoder's input before the first token; models are trained with ``prepended`` in it."""
    generation = model.generation_config
    start, forced = generation.decoder_start_token_id, generation.forced_bos_token_id
    if start is None:
        raise UserError("its config has no decoder_start_token_id")
    if forced is not None:
        return [start, forced]
    return prepended if prepended[:1] == [start] else [start, *prepended]


NAMES = {"hf": partial(load_pretrained)}
