"""The structure of three chat templates, and tokenizers whose special tokens they use."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from support.pretrained_models import LINES

# The content between {% generation %} and {% endgeneration %} is what TRL learns.
CHATML = """\
{%- for message in messages %}
{%- if loop.first and message.role != 'system' %}
{{- '<|im_start|>system\\nYou are a cat.<|im_end|>\\n' }}
{%- endif %}
{{- '<|im_start|>' + message['role'] + '\\n' }}
{%- if message.role == 'assistant' %}
{%- generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}
{%- else %}
{{- message['content'] + '<|im_end|>' }}
{%- endif %}
{{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
LLAMA = """\
{{- bos_token }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
{%- if message.role == 'assistant' %}
{%- generation %}{{ message['content'] | trim + '<|eot_id|>' }}{% endgeneration %}
{%- else %}
{{- message['content'] | trim + '<|eot_id|>' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
GEMMA = """\
{{- bos_token }}
{%- if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant') }}
{%- endif %}
{%- set role = 'model' if message.role == 'assistant' else message.role %}
{{- '<start_of_turn>' + role + '\\n' }}
{%- if role == 'model' %}
{%- generation %}{{ message['content'] | trim + '<end_of_turn>' }}{% endgeneration %}
{%- else %}
{{- message['content'] | trim + '<end_of_turn>' }}
{%- endif %}
{{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}
"""


# line ends are tokens of their own, so that those before a turn do not merge with its first word
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


class Family(NamedTuple):
    """A template, the special tokens of its tokenizer, and the one that ends a turn."""

    template: str
    specials: list[str]
    names: dict[str, str]
    end: str
    metaspace: bool = False


FAMILIES = {
    "chatml": Family(
        CHATML,
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        "<|im_end|>",
    ),
    "llama": Family(
        LLAMA,
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        "<|eot_id|>",
    ),
    "gemma": Family(  # the end of a turn is not the tokenizer's EOS
        GEMMA,
        ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"],
        {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"},
        "<end_of_turn>",
        metaspace=True,
    ),
}


def chat_tokenizer(family: str) -> Tokenizer:
    """A small tokenizer with the special tokens of a family."""
    _, specials, names, _, metaspace = FAMILIES[family]
    tokenizer = Tokenizer(models.BPE(unk_token=names.get("unk_token")))
    alphabet = ["\n", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789?!.</>|"]
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(WORDS), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320 if not metaspace else 120,
        special_tokens=[token for token in specials if token == "<unk>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator([*LINES, "user assistant system model\n\n\n"], trainer)
    others = [token for token in specials if token != "<unk>"]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in others])
    return tokenizer


def fast_tokenizer(family: str) -> Any:
    """As transformers has it, with its chat template."""
    import transformers

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=chat_tokenizer(family), **FAMILIES[family].names
    )
    tokenizer.chat_template = FAMILIES[family].template
    return tokenizer


def save_chat_model(folder: Path, family: str) -> Path:
    """A tiny Llama with the tokenizer of a family."""
    import transformers

    tokenizer = fast_tokenizer(family)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 24, "max_position_embeddings": 256}
    eos = tokenizer.convert_tokens_to_ids([tokenizer.eos_token, FAMILIES[family].end])
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer) + 5, **sizes, bos_token_id=tokenizer.bos_token_id
    )
    model = transformers.LlamaForCausalLM(config)
    model.generation_config.eos_token_id = sorted({*eos})
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
