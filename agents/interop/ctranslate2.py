"""Export a student to CTranslate2: decoding in C++ without torch (extra: export)."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ctranslate2
import numpy as np
import torch
from ctranslate2.specs import TransformerSpec
from ctranslate2.specs.attention_spec import MultiHeadAttentionSpec
from ctranslate2.specs.common_spec import Activation, LayerNormSpec, LinearSpec
from ctranslate2.specs.model_spec import ACCEPTED_MODEL_TYPES
from ctranslate2.specs.transformer_spec import FeedForwardSpec
from tokenizers import Tokenizer, normalizers
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from agents.generation.decoder import Decode
from agents.interop import ctranslate2_pretrained as pretrained
from agents.interop.ctranslate2_readme import readme
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.layers import positions
from agents.policies.transformer import TransformerPolicy
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError, unknown
from textgen_env.tasks.task import Task
from textgen_env.types import BOS, PAD, Trajectories

README = Path(__file__).with_suffix(".md")  # template
MIN_POSITIONS = 1024  # of source and target


def export_model(policy: nn.Module, task: Task, folder: Path, quantization: str) -> None:
    """Save the model, ``tokenizer.json`` and a ``README.md`` with an inference script.

    Args:
        policy: The student, a ``TransformerPolicy`` or a ``HuggingFacePolicy``.
        task: The vocabulary, the preprocessing and the limits.
        folder: A new or empty folder, or one of an earlier export.
        quantization: "float32", "int8" or another type of CTranslate2.

    Raises:
        UserError: CTranslate2 does not support the policy, or this CPU not ``quantization``, or
            ``folder`` has other contents or cannot be written.
    """
    check_quantization(quantization)
    if not isinstance(policy, TransformerPolicy | HuggingFacePolicy):
        name = type(policy).__name__
        raise UserError(
            f"CTranslate2 does not support {name}: export a run with student=transformer or hf"
        )
    if task.template and not isinstance(policy, HuggingFacePolicy):
        raise UserError(
            f"{task.id}: a {type(policy).__name__} has no tokenizer of transformers, which renders "
            "conversations for CTranslate2: export a run with student=hf"
        )
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "model.bin").is_file():
        raise UserError(
            f"out={folder} is not empty and is not an exported model; choose another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder) as temporary:
            parts = Path(temporary)
            if isinstance(policy, HuggingFacePolicy):
                fields = pretrained.save(policy, task, parts, quantization)
                template = pretrained.CHAT_README if task.template else pretrained.README
            else:
                fields = _save(policy, task, parts, quantization)
                template = README
            text = readme(template, task, folder, quantization, **fields)
            (parts / "README.md").write_text(text, encoding="utf-8")
            for path in parts.iterdir():
                os.replace(path, folder / path.name)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error


def load_decoders(
    folder: Path, policy: nn.Module, vocabulary: Vocabulary, workers: int = 1
) -> Callable[..., Decode]:
    """Load an exported model as a greedy decoder.

    Args:
        folder: The exported model.
        policy: The student.
        vocabulary: The student's vocabulary.
        workers: Number of batches decoded in parallel, by one thread each.

    Returns:
        A function of the batch size (64), which returns the decoder.
    """
    if isinstance(policy, HuggingFacePolicy):
        return pretrained.pretrained_decoders(folder, policy, workers)
    return partial(translator_decoder, load_translator(folder, workers), vocabulary)


def _save(policy: TransformerPolicy, task: Task, folder: Path, quantization: str) -> dict[str, Any]:
    length = max(MIN_POSITIONS, task.source_limit, task.horizon)
    spec = specification(policy, task.vocabulary, length)
    spec.optimize(quantization=quantization)
    spec.save(str(folder))
    (folder / "tokenizer.json").write_text(_tokenizer(task), encoding="utf-8")
    return {}


def check_quantization(name: str) -> None:
    """Raise UserError unless CTranslate2 supports the type ``name`` on this CPU."""
    supported = sorted(ctranslate2.get_supported_compute_types("cpu"))
    if name not in ACCEPTED_MODEL_TYPES:
        raise unknown("quantization", name, supported)
    if name not in supported:
        options = ", ".join(supported)
        raise UserError(
            f"quantization={name}: CTranslate2 does not support it on this CPU; use {options}"
        )


def specification(
    policy: TransformerPolicy, vocabulary: Vocabulary, length: int
) -> TransformerSpec:
    """Convert ``policy`` for sources and targets of at most ``length`` tokens.

    An output bias forbids PAD and BOS, which our decoders never generate, without any decoding
    option.
    """
    spec = TransformerSpec.from_config(
        (len(policy.encoder), len(policy.decoder)), policy.heads, activation=Activation.RELU
    )
    source, target = policy.source_embedding or policy.target_embedding, policy.target_embedding
    spec.encoder.embeddings[0].weight = _array(source.weight)
    spec.decoder.embeddings.weight = _array(target.weight)
    encodings = positions(length, policy.width, torch.device("cpu"))
    for stack, norm in ((spec.encoder, policy.encoder_norm), (spec.decoder, policy.decoder_norm)):
        stack.position_encodings.encodings = _array(encodings)
        _norm(stack.layer_norm, norm)
    blocks, layers = (*spec.encoder.layer, *spec.decoder.layer), (*policy.encoder, *policy.decoder)
    layer: Any
    for block, layer in zip(blocks, layers, strict=True):
        attention = layer.self_attention
        _attention(
            block.self_attention, layer.self_norm, attention.query_key_value, attention.output
        )
        _ffn(block.ffn, layer.ffn_norm, layer.ffn)
    for block, layer in zip(spec.decoder.layer, policy.decoder, strict=True):
        attention = layer.cross_attention
        linears = (attention.query, attention.key_value, attention.output)
        _attention(block.attention, layer.cross_norm, *linears)
    bias = torch.zeros(len(vocabulary))
    bias[[PAD, BOS]] = -1e9
    _linear(spec.decoder.projection, (policy.target_embedding.weight, bias))
    spec.register_source_vocabulary(vocabulary.tokens)
    spec.register_target_vocabulary(vocabulary.tokens)
    spec.config.layer_norm_epsilon = policy.encoder_norm.eps
    spec.validate()
    return spec


def load_translator(folder: Path, workers: int = 1, threads: int = 1) -> ctranslate2.Translator:
    """Load an exported model; single-threaded workers are fastest.

    Args:
        folder: The exported model.
        workers: Number of batches decoded in parallel.
        threads: Threads per worker.
    """
    return ctranslate2.Translator(str(folder), inter_threads=workers, intra_threads=threads)


def translator_decoder(
    model: ctranslate2.Translator,
    vocabulary: Vocabulary,
    batch_size: int = 64,
    width: int = 1,
    length_penalty: float = 1.0,
) -> Decode:
    """Wrap ``model`` as a decoder with the interface of ``agents.generation.decoder.Decoder``.

    CTranslate2 differs in three ways: a source of EOS alone gives an empty output without EOS,
    scores are 0, and all rows of a beam search share one limit. (Greedy outputs are truncated at
    their own limit, with the same result.)

    Args:
        model: The loaded model.
        vocabulary: The student's vocabulary.
        batch_size: Sentences per batch; CTranslate2 sorts them by length.
        width: Beam width; 1 is greedy.
        length_penalty: For beam search.
    """
    tokens, ids = vocabulary.tokens, {token: index for index, token in enumerate(vocabulary.tokens)}

    def decode(source: Tensor, limit: int | Tensor) -> Trajectories:
        limits = torch.as_tensor(limit).expand(len(source)).tolist()
        if width > 1 and len(set(limits)) > 1:
            raise ValueError("CTranslate2 has one limit for all rows of a beam search")
        results = model.translate_batch(
            [[tokens[token] for token in row if token != PAD] for row in source.tolist()],
            max_batch_size=batch_size,
            beam_size=width,
            length_penalty=length_penalty,
            return_end_token=True,  # so that EOS counts in the length
            min_decoding_length=0,
            max_decoding_length=max(limits),
            max_input_length=0,
        )
        rows = []
        for result, row_limit in zip(results, limits, strict=True):
            output = result.hypotheses[0][:row_limit]
            rows.append(torch.tensor([ids[token] for token in output], dtype=torch.int64))
        action = pad_sequence(rows, batch_first=True, padding_value=PAD)
        return Trajectories(action, torch.tensor([*map(len, rows)]), torch.zeros(len(rows)))

    return decode


def _tokenizer(task: Task) -> str:
    """The vocabulary's ``tokenizer.json``, which lowercases if the corpus was lowercased.

    The normalizer does not change the output of ``str.lower``, so the README's script stays exact.
    On its own it differs from ``str.lower`` in the Greek final sigma. No normalizer can undo
    escapes exactly: ``&#8217;`` may have any number, and ``&amp;lt;`` must become ``&lt;`` in a
    single pass.
    """
    tokenizer = Tokenizer.from_str(task.vocabulary.to_json())
    if task.corpus.preprocessing.lowercase:
        existing = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *existing])
    return tokenizer.to_str()


def _attention(spec: MultiHeadAttentionSpec, norm: nn.LayerNorm, *linears: nn.Linear) -> None:
    _norm(spec.layer_norm, norm)
    for target, linear in zip(spec.linear, linears, strict=True):
        _linear(target, linear)


def _ffn(spec: FeedForwardSpec, norm: nn.LayerNorm, ffn: nn.Sequential) -> None:
    _norm(spec.layer_norm, norm)
    _linear(spec.linear_0, ffn[0])
    _linear(spec.linear_1, ffn[3])


def _linear(spec: LinearSpec, linear: nn.Module | tuple[Tensor, Tensor]) -> None:
    weight, bias = linear.parameters() if isinstance(linear, nn.Module) else linear
    spec.weight, spec.bias = _array(weight), _array(bias)


def _norm(spec: LayerNormSpec, norm: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = _array(norm.weight), _array(norm.bias)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()  # CTranslate2 quantizes in place
