"""Convert a Hugging Face student to CTranslate2 with its own converter (extra: export)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ctranslate2
import torch
from ctranslate2.converters import TransformersConverter
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from agents.generation.decoder import Decode
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.saving import save_merged
from textgen_env.errors import UserError
from textgen_env.tasks.task import Task
from textgen_env.types import EOS, PAD, UNK, Trajectories

# What the converter reads in the config of a BART, where transformers no longer has it.
BART = {"normalize_before": False, "normalize_embedding": True}
VOCABULARIES = "shared_vocabulary.json", "vocabulary.json"
README, CHAT_README = Path(__file__).with_suffix(".md"), Path(__file__).with_name("chat.md")
TRANSLATE = """\
results = model.translate_batch(
        prompts, target_prefix=[forced] * len(prompts), beam_size=1, max_batch_size=64,
        min_decoding_length=0, max_decoding_length=len(forced) + {length}, max_input_length=0,
    )
    outputs = [result.hypotheses[0][len(forced) :] for result in results]"""
GENERATE = """\
results = model.generate_batch(
        prompts, max_batch_size=64, max_length={length}, include_prompt_in_result=False
    )
    outputs = [result.sequences[0] for result in results]"""


class PolicyConverter(TransformersConverter):
    """The converter of CTranslate2, with an output bias.

    The bias forbids ids that the policy never generates, such as padding of the output layer, so
    that no decoding option is needed for the same outputs.

    Args:
        folder: the model and its tokenizer, as ``AutoModel`` and ``AutoTokenizer`` open them.
        allowed: ids that the policy generates.
        end: the token that ends an output, which in a chat may be another than the tokenizer's EOS.
    """

    def __init__(self, folder: Path, allowed: Iterable[int], end: str) -> None:
        super().__init__(str(folder))
        self.allowed, self.end = torch.tensor([*allowed]), end

    def _load(self) -> Any:
        spec = super()._load()
        projection = spec.decoder.projection
        bias = torch.full((projection.weight.shape[0],), -1e9)
        own = torch.as_tensor(projection.bias).float() if projection.has_bias() else torch.zeros(())
        projection.bias = bias.index_fill_(0, self.allowed, 0.0) + own
        spec.config.eos_token = self.end
        for name in ("bos_token", "unk_token"):  # CTranslate2 cannot load a model without them
            if getattr(spec.config, name) is None:
                setattr(spec.config, name, spec.config.eos_token)
        return spec


def save(policy: HuggingFacePolicy, task: Task, folder: Path, quantization: str) -> dict[str, Any]:
    """Convert the model, its adapter merged, and save it with its tokenizer.

    Args:
        policy: the student.
        task: its limits.
        folder: for the converted model; it is replaced.
        quantization: a type of CTranslate2.

    Returns:
        What the template ``README`` or ``CHAT_README`` needs to know of the model.

    Raises:
        UserError: CTranslate2 cannot convert such a model.
    """
    from transformers import AutoTokenizer

    kind = policy.model.config.model_type
    with TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Path(temporary)
        save_merged(policy, model)
        if kind == "bart":
            config = model / "config.json"
            config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | BART))
        tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
        end = tokenizer.convert_ids_to_tokens(int(policy.ids[EOS]))
        try:
            _check_start(policy)
            converter = PolicyConverter(model, set(_ids(policy).values()), end)
            converter.convert(str(folder), quantization=quantization, force=True)
        except Exception as error:  # the converters raise errors of any type
            reason = " ".join(str(error).split()).partition(" (supported")[0][:300]
            raise UserError(f"CTranslate2 cannot convert this {kind} model: {reason}") from error
        if task.template:  # for transformers to open, with its template
            for name, data in (policy.original.files if policy.original else {}).items():
                (folder / name).write_bytes(data)
            tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        else:  # the policy's, which encodes special tokens in a text as in training
            policy.vocabulary.save(folder / "tokenizer.json")
    names = _names(folder)
    return _prompt_fields(policy, names) | {
        "unknown": repr(names[int(policy.ids[UNK])]),
        "engine": "Translator" if policy.has_encoder else "Generator",
        "call": (TRANSLATE if policy.has_encoder else GENERATE).format(length=task.horizon),
    }


def pretrained_decoders(
    folder: Path, policy: HuggingFacePolicy, workers: int = 1
) -> Callable[..., Decode]:
    """Load a converted model as a greedy decoder like ``agents.generation.decoder.Decoder``.

    Args:
        folder: the converted model.
        policy: the student; it knows the ids of the vocabulary, and builds the prompts.
        workers: number of batches decoded in parallel, by one thread each.

    Returns:
        A function of the batch size (64), which returns the decoder.
    """
    engine = ctranslate2.Translator if policy.has_encoder else ctranslate2.Generator
    model = engine(str(folder), inter_threads=workers, intra_threads=1)
    return partial(_decoder, model, policy, _names(folder))


def _decoder(
    model: Any, policy: HuggingFacePolicy, names: list[str], batch_size: int = 64
) -> Decode:
    token_of = {names[model_id]: token for token, model_id in _ids(policy).items()}
    forced = _prompt_fields(policy, names)["forced"]
    options = {"max_batch_size": batch_size, "beam_size": 1, "return_end_token": True}

    def outputs(source: Tensor, limit: int) -> list[list[str]]:
        """At most ``limit`` token names for each source ``[B, S]``, without the forced ones."""
        prompts = [[names[i] for i in row] for row in _prompts(policy, source)]
        if policy.has_encoder:
            lengths = {"min_decoding_length": 0, "max_input_length": 0}
            lengths["max_decoding_length"] = limit + len(forced)
            prefixes = [forced] * len(prompts)
            results = model.translate_batch(prompts, prefixes, **options, **lengths)
            return [result.hypotheses[0][len(forced) :] for result in results]
        lengths = {"max_length": limit, "include_prompt_in_result": False}
        results = model.generate_batch(prompts, **options, **lengths)
        return [result.sequences[0] for result in results]

    def decode(source: Tensor, limit: int | Tensor) -> Trajectories:
        limits = torch.as_tensor(limit).expand(len(source)).tolist()
        rows = [
            torch.tensor([token_of[name] for name in output[:row_limit]], dtype=torch.int64)
            for output, row_limit in zip(outputs(source, max(limits)), limits, strict=True)
        ]
        action = pad_sequence(rows, batch_first=True, padding_value=PAD)
        return Trajectories(action, torch.tensor([*map(len, rows)]), torch.zeros(len(rows)))

    return decode


def _ids(policy: HuggingFacePolicy) -> dict[int, int]:
    """``{token: model id}`` of the tokens that the policy generates."""
    missing = {*policy.missing.tolist()}
    return {token: i for token, i in enumerate(policy.ids.tolist()) if token not in missing}


def _names(folder: Path) -> list[str]:
    """The tokens of a converted model, in the order of their ids."""
    path = next(folder / name for name in VOCABULARIES if (folder / name).is_file())
    return list(json.loads(path.read_text(encoding="utf-8")))


def _prompt_fields(policy: HuggingFacePolicy, names: list[str]) -> dict[str, list[str]]:
    """The tokens around a source, and those that every output starts with."""
    # CTranslate2 adds the token that starts the decoder; Marian's has no name there
    added = policy.before_target[1:] if policy.has_encoder else policy.before_target
    before, between, eos = (
        [names[model_id] for model_id in ids.tolist()]
        for ids in (policy.before_source, added, policy.ids[[EOS]])
    )
    if policy.has_encoder:
        return {"before": before, "after": eos, "forced": between}
    return {"before": before, "after": eos * policy.keeps_eos + between, "forced": []}


def _prompts(policy: HuggingFacePolicy, source: Tensor) -> list[list[int]]:
    """Model ids of the encoder's input, or of the prompt of a decoder-only model."""
    if policy.has_encoder:
        before = policy.before_source.tolist()
        return [before + policy.ids[row[row != PAD]].tolist() for row in source]
    state = policy.start(source, 1)
    rows = zip(state.prompt, state.present.bool(), strict=True)
    return [prompt[present].tolist() for prompt, present in rows]


def _check_start(policy: HuggingFacePolicy) -> None:
    """ValueError for a Marian whose decoder does not start as the converter assumes."""
    config = policy.model.config
    if config.model_type != "marian":
        return
    start, embedding = config.decoder_start_token_id, policy.model.get_input_embeddings().weight
    if start != len(embedding) - 1 or embedding[start].any():
        raise ValueError("its decoder must start with the last token, whose embedding must be 0")
