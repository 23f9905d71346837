"""Tiny Hugging Face models: random weights, and a tokenizer trained on a few lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

LINES = [
    "the cat sees the dog",
    "a man hears the cat",
    "the dog likes a man",
    "a cat likes the dog that hears a man",
    "der hund sieht die katze",
    "ein mann hört die katze",
    "die katze mag den hund, den ein mann hört",
]
SMALL = {  # of Marian and BART
    "d_model": 16,
    **{"encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 24},
    **{"decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 24},
    "max_position_embeddings": 128,
}


def unigram(specials: list[str], template: str) -> Tokenizer:
    """As of T5 and Marian."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    return _train(tokenizer, trainer, specials, template)


def byte_level(specials: list[str], template: str) -> Tokenizer:
    """As of GPT-2 and BART."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    return _train(tokenizer, trainer, specials, template)


def metaspace_bpe(specials: list[str], template: str) -> Tokenizer:
    """As of Llama."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=specials, show_progress=False)
    return _train(tokenizer, trainer, specials, template)


def _train(tokenizer: Tokenizer, trainer: Any, specials: list[str], template: str) -> Tokenizer:
    tokenizer.train_from_iterator(LINES, trainer)
    pairs = [(token, tokenizer.token_to_id(token)) for token in specials]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=pairs)
    return tokenizer


def save(folder: Path, model: Any, tokenizer: Tokenizer, **names: str) -> Path:
    """Save both with ``save_pretrained``, the weights with added noise so that differences show."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.15)
    model.save_pretrained(folder)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    fast.save_pretrained(folder)
    return folder


def marian(folder: Path) -> Path:
    """An encoder–decoder with shared embeddings."""
    tokenizer = unigram(["</s>", "<unk>", "<pad>"], "$A </s>")
    tokens = {"eos_token_id": 0, "pad_token_id": 2, "decoder_start_token_id": 2}
    config = transformers.MarianConfig(
        vocab_size=tokenizer.get_vocab_size(), decoder_vocab_size=None, **SMALL, **tokens
    )
    names = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    return save(folder, transformers.MarianMTModel(config), tokenizer, **names)


def bart(folder: Path) -> Path:
    """An encoder–decoder whose tokenizer surrounds every text with special tokens."""
    tokenizer = byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<s> $A </s>")
    tokens = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    config = transformers.BartConfig(vocab_size=tokenizer.get_vocab_size(), **SMALL, **tokens)
    names = {"bos_token": "<s>", "eos_token": "</s>", "mask_token": "<mask>"}
    names |= {"unk_token": "<unk>", "pad_token": "<pad>"}
    return save(folder, transformers.BartForConditionalGeneration(config), tokenizer, **names)


def t5(folder: Path) -> Path:
    """Relative positions; an output layer that is wider than the vocabulary."""
    tokenizer = unigram(["<pad>", "</s>", "<unk>", "<extra_id_1>", "<extra_id_0>"], "$A </s>")
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
    tokens = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    config = transformers.T5Config(vocab_size=tokenizer.get_vocab_size() + 7, **sizes, **tokens)
    names = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    return save(folder, transformers.T5ForConditionalGeneration(config), tokenizer, **names)


def gpt2(folder: Path) -> Path:
    """Absolute positions, one special token, no padding token."""
    tokenizer = byte_level(["<|endoftext|>"], "$A")
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 128}
    config = transformers.GPT2Config(
        vocab_size=tokenizer.get_vocab_size(), **sizes, bos_token_id=0, eos_token_id=0
    )
    names = dict.fromkeys(("bos_token", "eos_token"), "<|endoftext|>")
    return save(folder, transformers.GPT2LMHeadModel(config), tokenizer, **names)


def llama(folder: Path) -> Path:
    """Rotary positions, and a tokenizer that prepends a token to every text."""
    tokenizer = metaspace_bpe(["<unk>", "<s>", "</s>"], "<s> $A")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 24}
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 128}
    config = transformers.LlamaConfig(vocab_size=tokenizer.get_vocab_size(), **sizes, **tokens)
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return save(folder, transformers.LlamaForCausalLM(config), tokenizer, **names)


def mpt(folder: Path) -> Path:
    """ALiBi instead of positions: attention decays with distance."""
    tokenizer = byte_level(["<|endoftext|>"], "$A")
    sizes = {"d_model": 16, "n_layers": 2, "n_heads": 2, "max_seq_len": 128}
    config = transformers.MptConfig(
        vocab_size=tokenizer.get_vocab_size(), **sizes, bos_token_id=0, eos_token_id=0
    )
    return save(folder, transformers.MptForCausalLM(config), tokenizer, eos_token="<|endoftext|>")


def copier(folder: Path, texts: list[str], steps: int) -> Path:
    """A Marian trained to repeat its source, with the loss and the batches of transformers."""
    words = sorted({word for text in texts for word in text.split()}, reverse=True)
    words = ["</s>", "<unk>", *words, "<pad>"]
    ids = {word: index for index, word in enumerate(words)}
    backend = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 0)]
    )
    names = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    pad = len(words) - 1
    config = SMALL | {"vocab_size": len(words), "eos_token_id": 0, "pad_token_id": pad}
    config |= {"decoder_start_token_id": pad, "dropout": 0.0, "init_std": 0.1, "d_model": 32}
    config |= dict.fromkeys(("encoder_layers", "decoder_layers"), 1)
    config |= dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 64)
    model = transformers.MarianMTModel(transformers.MarianConfig(**config))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        batch_texts = [texts[(64 * step + i) % len(texts)] for i in range(64)]
        batch = tokenizer(batch_texts, padding=True, return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["input_ids"] == pad, -100)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        optimizer.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


FAMILIES: dict[str, Callable[[Path], Path]] = {
    make.__name__: make for make in (marian, bart, t5, gpt2, llama, mpt)
}
