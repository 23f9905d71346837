"""A transformer student as a CTranslate2 model: decoding in C++ that needs neither torch nor this project.

The one module that needs ``ctranslate2``, the extra ``export``.
"""

from __future__ import annotations

import os
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

from agents.evaluation.outputs import Writer
from agents.policies.layers import positions
from agents.policies.transformer import Attention, Transformer
from textgen_env.data.readers import ESCAPE
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError, unknown
from textgen_env.tasks.task import Task
from textgen_env.types import BOS, PAD, Trajectories

POSITIONS = 1024  # tokens that source and target may have, at least
NOTE = """# A student in CTranslate2, {quantization}

Save this code as `generate.py`. `python generate.py < INPUT > OUTPUT` generates a line for every line.
`pip install ctranslate2 tokenizers` installs what it needs.

```python
import html
import re
import sys

import ctranslate2
import tokenizers

folder = {folder!r}  # where this file lies
model = ctranslate2.Translator(folder, inter_threads=2, intra_threads=1)  # two single-thread workers
tokenizer = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json")
tokenizer.encode_special_tokens = True  # "</s>" in a text is text, at worst <unk> (3)


def prepare(text):
    \"\"\"Raw text as the model knows it. Preprocessing of its training text: {preprocessing}.\"\"\"
    {prepare}
    return text


def limit(length):
    \"\"\"The most tokens to generate for a source of that many, EOS included in both.\"\"\"
    return {limit}


def generate(texts):
    encoded = tokenizer.encode_batch([prepare(text) for text in texts])
    words = [[tokenizer.id_to_token(max(i, 3)) for i in each.ids] for each in encoded]
    sources = [[*each[:{most}], "</s>"] for each in words]
    lengths = {{"min_decoding_length": 0, "max_decoding_length": {horizon}, "max_input_length": 0}}
    results = model.translate_batch(sources, beam_size=1, max_batch_size=64, **lengths)
    outputs = [each.hypotheses[0][: limit(len(source))] for each, source in zip(results, sources)]
    ids = [[tokenizer.token_to_id(token) for token in tokens] for tokens in outputs]
    return tokenizer.decode_batch(ids, skip_special_tokens=False)


sys.stdout.reconfigure(encoding="utf-8")
print(*generate(open(0, encoding="utf-8-sig", newline="\\n")), sep="\\n")
```

`tokenizer.json` by itself lowercases if the training text was lowercased; the rest is up to `prepare`.
"""


def export(policy: nn.Module, task: Task, folder: Path, quantization: str) -> None:
    """Write ``folder``: the model, ``tokenizer.json`` and a ``README.md`` that says how to translate with them.

    Args:
        policy: the student
        task: its task: the vocabulary, the preprocessing and the limits
        folder: of an earlier export, empty, or not there yet
        quantization: float32 or int8 … (CTranslate2's types)

    Raises:
        UserError: this CPU cannot compute with ``quantization``, the policy is no transformer, or
            ``folder`` holds something else or cannot be written.
    """
    check_quantization(quantization)
    if not isinstance(policy, Transformer):
        name = type(policy).__name__
        raise UserError(f"CTranslate2 runs transformers and has no {name}: export a run of student=transformer")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "model.bin").is_file():
        raise UserError(f"out={folder} is not empty and holds no exported model; name another folder")
    spec = specification(policy, task.vocabulary, max(POSITIONS, task.source_limit, task.horizon))
    spec.optimize(quantization=quantization)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder) as work:
            spec.save(work)
            Path(work, "tokenizer.json").write_text(_tokenizer(task), encoding="utf-8")
            Path(work, "README.md").write_text(_note(task, folder, quantization), encoding="utf-8")
            for path in Path(work).iterdir():
                os.replace(path, folder / path.name)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error


def _note(task: Task, folder: Path, quantization: str) -> str:
    preprocessing = task.corpus.preprocessing
    steps = [
        (preprocessing.unescape, f'text = re.sub(r"{ESCAPE.pattern}", lambda match: html.unescape(match[0]), text)'),
        (True, 'text = " ".join(text.split())'),
        (preprocessing.split_marks, 'text = text.replace("##AT##", "").replace("@-@", "-")'),
        (preprocessing.split_marks, r'text = " ".join(re.findall(r"\w+|[^\w\s]", text))'),
        (preprocessing.lowercase, "text = text.lower()"),
    ]
    return NOTE.format(
        quantization=quantization,
        folder=str(folder),
        preprocessing=preprocessing,
        prepare="\n    ".join(line for done, line in steps if done),
        limit=task.limit_code("length"),
        most=task.source_limit - 1,
        horizon=task.horizon,
    )


def _tokenizer(task: Task) -> str:
    """The vocabulary's ``tokenizer.json``, with a normalizer where the corpus was lowercased.

    The normalizer leaves ``str.lower``'s text as it is, so that the note's code stays exact; alone, it
    differs from it in the Greek final sigma. No normalizer undoes escapes exactly: ``&#8217;`` can have
    any number, and ``&amp;lt;`` becomes ``&lt;``, which a second pass must not change.
    """
    tokenizer = Tokenizer.from_str(task.vocabulary.to_json())
    if task.corpus.preprocessing.lowercase:
        before = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *before])
    return tokenizer.to_str()


def check_quantization(name: str) -> None:
    """UserError unless this processor computes with it."""
    here = sorted(ctranslate2.get_supported_compute_types("cpu"))
    if name not in ACCEPTED_MODEL_TYPES:
        raise unknown("quantization", name, here)
    if name not in here:
        raise UserError(f"quantization={name}: CTranslate2 has no such arithmetic on this processor; use {', '.join(here)}")


def specification(policy: Transformer, vocabulary: Vocabulary, length: int) -> TransformerSpec:
    """``policy`` in CTranslate2's terms, for sources and targets of at most ``length`` tokens.

    PAD and BOS, which our decoders never write, get an output bias that forbids them: there is no option to forget.
    """
    spec = TransformerSpec.from_config((len(policy.encoder), len(policy.decoder)), policy.heads, activation=Activation.RELU)
    source, target = policy.source_embedding or policy.target_embedding, policy.target_embedding
    spec.encoder.embeddings[0].weight, spec.decoder.embeddings.weight = _array(source.weight), _array(target.weight)
    for side, norm in ((spec.encoder, policy.encoder_norm), (spec.decoder, policy.decoder_norm)):
        side.position_encodings.encodings = _array(positions(length, policy.width, torch.device("cpu")))
        _norm(side.layer_norm, norm)
    encoder: Any = policy.encoder
    decoder: Any = policy.decoder
    for written, layer in zip(spec.encoder.layer, encoder, strict=True):
        _self_attention(written.self_attention, layer.self_norm, layer.self_attention)
        _ffn(written.ffn, layer.ffn_norm, layer.ffn)
    for written, layer in zip(spec.decoder.layer, decoder, strict=True):
        _self_attention(written.self_attention, layer.self_norm, layer.self_attention)
        cross = layer.cross_attention
        _attention(written.attention, layer.cross_norm, cross.query, cross.key_value, cross.output)
        _ffn(written.ffn, layer.ffn_norm, layer.ffn)
    never = torch.zeros(len(vocabulary))
    never[[PAD, BOS]] = -1e9
    _linear(spec.decoder.projection, (policy.target_embedding.weight, never))
    spec.register_source_vocabulary(vocabulary.tokens)
    spec.register_target_vocabulary(vocabulary.tokens)
    spec.config.layer_norm_epsilon = policy.encoder_norm.eps
    spec.validate()
    return spec


def writer(
    folder: Path,
    vocabulary: Vocabulary,
    batch_size: int = 64,
    workers: int = 1,
    threads: int = 1,
    width: int = 1,
    length_penalty: float = 1.0,
) -> Writer:
    """How the model in ``folder`` writes, as ``agents.evaluation.outputs.writer``.

    Batches of ``batch_size`` sentences of like length go to ``workers`` with ``threads`` each; a core a worker is fastest.
    Three things are CTranslate2's own: a source of EOS alone gives nothing, not even EOS; scores are not asked for (0); and all
    rows of a beam search have one limit (a greedy output is cut at its own, which comes to the same).
    """
    model = ctranslate2.Translator(str(folder), inter_threads=workers, intra_threads=threads)
    tokens, ids = vocabulary.tokens, {token: index for index, token in enumerate(vocabulary.tokens)}

    def write(source: Tensor, steps: int | Tensor) -> Trajectories:
        most = torch.as_tensor(steps).expand(len(source)).tolist()
        if width > 1 and len(set(most)) > 1:
            raise ValueError("CTranslate2 has one limit for all rows of a beam search")
        texts = [[tokens[token] for token in row if token != PAD] for row in source.tolist()]
        limits = {"min_decoding_length": 0, "max_decoding_length": max(most), "max_input_length": 0}
        search = {
            "beam_size": width,
            "length_penalty": length_penalty,
            "return_end_token": True,
        }  # which then counts in the length
        found = model.translate_batch(texts, max_batch_size=batch_size, **search, **limits)
        rows = [
            torch.tensor([ids[token] for token in each.hypotheses[0][:limit]], dtype=torch.int64)
            for each, limit in zip(found, most, strict=True)
        ]
        length = torch.tensor([len(row) for row in rows])
        return Trajectories(pad_sequence(rows, batch_first=True, padding_value=PAD), length, torch.zeros(len(rows)))

    return write


def _attention(spec: MultiHeadAttentionSpec, norm: nn.LayerNorm, *linears: nn.Linear | tuple[Tensor, Tensor]) -> None:
    _norm(spec.layer_norm, norm)
    for written, linear in zip(spec.linear, linears, strict=True):
        _linear(written, linear)


def _self_attention(spec: MultiHeadAttentionSpec, norm: nn.LayerNorm, attention: Attention) -> None:
    """Query, key and value are one matrix there."""
    pairs = zip(attention.query.parameters(), attention.key_value.parameters(), strict=True)
    weight, bias = (torch.cat(pair) for pair in pairs)
    _attention(spec, norm, (weight, bias), attention.output)


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
    return tensor.detach().cpu().numpy().copy()  # CTranslate2 quantises in place
