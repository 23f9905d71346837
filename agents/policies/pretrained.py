"""Pretrained Hugging Face models as policies: a folder, or the name of a model on the Hub."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

import torch
from torch import nn

from agents.policies.adapters import (
    MARK,
    NO_ADAPTER,
    LoRA,
    add_adapter,
    has_adapter,
    merged,
    save_adapter,
    without_adapter,
)
from agents.policies.checks import check_tokenizer, decoder_start
from agents.policies.families import check_family, check_identities
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.layer_dropping import keep_layers, smaller_config
from agents.policies.model_files import BASE, is_hub_name, read_companions
from agents.policies.opening import (
    OFFLINE,
    freeze_positions,
    opened_model,
    pretrained_model,
    random_model,
)
from agents.policies.tokenizer import CHAT_TEMPLATE, CONFIG, PretrainedTokenizer, load_tokenizer
from textgen_env.data.chat_template import ChatTemplate
from textgen_env.data.files import write_atomically
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError, unknown
from textgen_env.types import EOS

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
GENERATION = "generation_config.json"
INITS = ("pretrained", "random")


class PretrainedPolicy(HuggingFacePolicy):
    """An encoder–decoder or causal model of Hugging Face, as a teacher or to be trained further.

    Its vocabulary is that of its tokenizer. ``save_files`` and ``save_weights`` fill a folder that
    ``AutoModel…`` and ``AutoTokenizer`` open. With an adapter the subfolder ``base`` holds the base
    model, so that the folder needs no other.

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
        vocabulary: expected; None: any
        template: of conversations, which then decides what is before and after a source
        folder: where a run has saved the config and the tokenizer of a student; the weights are
            then random, to be loaded from a checkpoint

    Raises:
        UserError: The model cannot be loaded, does not match its tokenizer, or is not causal.
    """

    def __init__(
        self,
        path: str | None = None,
        layers: int | None = None,
        decoder_layers: int | None = None,
        init: Literal["pretrained", "random"] = "pretrained",
        dtype: Literal["float32", "bfloat16"] = "float32",
        source_prefix: str = "",
        separator: str = "",
        lora: LoRA = NO_ADAPTER,
        vocabulary: Vocabulary | None = None,
        folder: Path | None = None,
        template: ChatTemplate | None = None,
    ) -> None:
        lora = lora if isinstance(lora, LoRA) else LoRA(**lora)  # from the command line or a file
        self.source = folder / BASE if folder and lora.rank else folder
        _check_choices(dtype, init)
        name = _folder_name(path, self.source)
        if template and (source_prefix or separator):
            raise UserError("source_prefix and separator: the chat template replaces them")
        tokenizer = load_tokenizer(name, template)
        if vocabulary and vocabulary.fingerprint != tokenizer.vocabulary.fingerprint:
            raise UserError(
                f"hf:{name}: its tokenizer has {len(tokenizer.vocabulary):,} tokens, which are not "
                f"the {len(vocabulary):,} tokens of the task; use the tokenizer of the task"
            )
        # A checkpoint of a run has all weights, or those of the adapter alone.
        pretrained = init == "pretrained" if folder is None else bool(lora.rank)
        pretrained &= torch.get_default_device().type != "meta"  # only the sizes are needed
        # The saved config has the numbers of layers already.
        kept = (layers, decoder_layers) if folder is None else (None, None)
        with opened_model(name, pretrained) as (transformers, opened):
            config = transformers.AutoConfig.from_pretrained(opened, **OFFLINE)
            check_family(config, transformers.__version__)
            if config.is_encoder_decoder and separator:
                raise UserError("separator is only for decoder-only models; leave it out")
            smaller = smaller_config(config, *kept)
            if not pretrained:
                model = random_model(transformers, opened, smaller)
            else:
                model = pretrained_model(transformers, opened, config, DTYPES[dtype])
                model = model if smaller is config else keep_layers(model, smaller)
            freeze_positions(model)
            for weight in model.parameters():
                weight.data = weight.data.to(DTYPES[dtype])
            check_tokenizer(model, tokenizer)
            prompts = _prompts(model, tokenizer, source_prefix, separator)
            shows_eos = not separator and (template is None or config.is_encoder_decoder)
            super().__init__(model, tokenizer.vocabulary, tokenizer.ids, *prompts, shows_eos)
            self.frozen = {n for n, weight in self.named_parameters() if not weight.requires_grad}
            if folder is None:
                check_identities(self.eval())
        self.template, self.tokenizer_class = tokenizer.template, tokenizer.kind
        self.files = read_companions(name)
        if self.template:
            self.files[CHAT_TEMPLATE] = self.template.text.encode()
        same = (layers, decoder_layers, init) == (None, None, "pretrained")
        # A name that others can load the base model of an adapter by.
        self.origin = path if same and path and is_hub_name(path) else None
        if lora.rank is not None:
            add_adapter(self, lora)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The weights of the model, those that are tied once; ``save_files`` has the rest."""
        left_out = {*self._buffers, *_tied_names(self)}
        state = super().state_dict(*args, **kwargs)
        return {name: tensor for name, tensor in state.items() if name not in left_out}

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load what ``state_dict`` returned."""
        tied = _tied_names(self).items()
        again = {name: state_dict[other] for name, other in tied if other in state_dict}
        return super().load_state_dict({**state_dict, **self._buffers, **again}, *args, **kwargs)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """As in ``nn.Module``, but what transformers never trains, such as sinusoids, stays so."""
        super().requires_grad_(requires_grad)
        adapted = has_adapter(self)
        for name, weight in self.named_parameters():
            weight.requires_grad &= MARK in name if adapted else name not in self.frozen
        return self

    def save_files(self, folder: Path) -> None:
        """Save the config, the tokenizer, the chat template and the generation config.

        ``generate`` then suppresses what the policy never generates, such as the padding of the
        output layer: training leaves those logits as they were. With an adapter, they and the
        weights are those of the base model, in its subfolder, and only the tokenizer is beside it:
        a config would make transformers expect all weights there.
        """
        if has_adapter(self):
            self._save_base(folder)
            return
        dtype = str(next(self.model.parameters()).dtype).removeprefix("torch.")
        own = {"architectures": [type(self.model).__name__], "dtype": dtype}
        config = self.model.config.to_diff_dict() | own
        original = self.files.get(GENERATION) or self.model.generation_config.to_json_string()
        generation = json.loads(original)
        missing = {*self.missing.tolist()}
        used = {index for token, index in enumerate(self.ids.tolist()) if token not in missing}
        unused = {*range(len(self.model.get_output_embeddings().weight))} - used
        if self.template:
            generation["eos_token_id"] = int(self.ids[EOS])  # the end of a turn
        if suppressed := unused.union(generation.get("suppress_tokens") or ()):
            generation["suppress_tokens"] = sorted(suppressed)
        contents = {"config.json": config, GENERATION: generation}
        texts = {name: json.dumps(content, indent=2) for name, content in contents.items()}
        for name, data in {**self.files, **{n: t.encode() for n, t in texts.items()}}.items():
            write_atomically(folder / name, data)

    def _save_base(self, folder: Path) -> None:
        if self.source != folder / BASE:
            base = without_adapter(self)
            base.save_files(folder / BASE)
            base.save_weights(folder / BASE)
        files = {name: data for name, data in self.files.items() if name != GENERATION}
        # without a config, it has to name its class
        config = {"tokenizer_class": self.tokenizer_class, **json.loads(files.get(CONFIG, b"{}"))}
        for name, data in {**files, CONFIG: json.dumps(config, indent=2).encode()}.items():
            write_atomically(folder / name, data)

    def save_weights(self, folder: Path) -> None:
        """Save the weights as transformers does, or the adapter as PEFT does."""
        if has_adapter(self):
            save_adapter(self, folder, self.origin or str((folder / BASE).resolve()))
            return
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder) as temporary:
            self.model.save_pretrained(temporary)
            for path in Path(temporary).glob("model*.safetensors*"):
                shutil.copymode(folder / "config.json", path)  # safetensors: the owner's only
                os.replace(path, folder / path.name)

    def save_merged(self, folder: Path) -> None:
        """Save a whole model, the adapter merged into its weights."""
        whole = merged(self) if has_adapter(self) else self
        whole.save_files(folder)
        whole.save_weights(folder)


def load_pretrained(
    name: str,
    source_prefix: str = "",
    separator: str = "",
    dtype: str = "float32",
    template: ChatTemplate | None = None,
) -> PretrainedPolicy:
    """Load a model as a policy, in eval mode; the arguments are those of ``PretrainedPolicy``."""
    options: dict[str, Any] = {"dtype": dtype, "template": template}
    return PretrainedPolicy(name, source_prefix=source_prefix, separator=separator, **options)


def _check_choices(dtype: str, init: str) -> None:
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    if init not in INITS:
        raise unknown("init", init, INITS)


def _folder_name(path: str | None, folder: Path | None) -> str:
    """Where to find the config and the tokenizer."""
    if folder is not None and not folder.is_dir():
        raise UserError(f"{folder} is missing, which holds the config of the student; restore it")
    if folder is None and not path:
        raise UserError("path=null: name a model folder or a model on the Hub")
    return str(folder or path)


def _prompts(
    model: Any, tokenizer: PretrainedTokenizer, source_prefix: str, separator: str
) -> tuple[list[int], list[int]]:
    """The model's ids before a source and before a target; a chat template has its own."""
    prefix = tokenizer.encode(source_prefix)
    if model.config.is_encoder_decoder:
        return tokenizer.prepended + prefix, decoder_start(model, tokenizer.prepended)
    prepended = [] if tokenizer.template else tokenizer.prepended
    return prepended + prefix, tokenizer.encode(separator)


def _tied_names(module: nn.Module) -> dict[str, str]:
    """``{name: other}`` of weights that are another weight by a second name."""
    first: dict[nn.Parameter, str] = {}
    names = {
        name: first.setdefault(weight, name)
        for name, weight in module.named_parameters(remove_duplicate=False)
    }
    return {name: other for name, other in names.items() if name != other}


NAMES = {"hf": partial(PretrainedPolicy)}
