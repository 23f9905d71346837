"""Small random models of every type that ``MODEL_TYPES`` allows, built from configs."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import transformers

from agents.policies.checks import REASONS
from agents.policies.huggingface import HuggingFacePolicy
from agents.policies.sanitized_folder import MODEL_TYPES
from support.policies import V
from textgen_env.data.vocabulary import Vocabulary


def _all(names: str, value: object) -> dict[str, Any]:
    return dict.fromkeys(names.split(), value)


SIZES = {  # a config takes those that it has: 2 layers, 4 heads in 2 groups, width 16, window 3
    **_all("hidden_size d_model n_embd", 16),
    **_all("intermediate_size ffn_dim d_ff n_inner ffn_hidden_size moe_intermediate_size", 24),
    **_all("encoder_ffn_dim decoder_ffn_dim shared_expert_intermediate_size", 24),
    **_all("num_hidden_layers num_layers n_layer n_layers encoder_layers decoder_layers", 2),
    **_all("num_decoder_layers max_window_layers", 2),
    **_all("num_attention_heads num_heads n_head n_heads attention_heads", 4),
    **_all("encoder_attention_heads decoder_attention_heads", 4),
    **_all("num_key_value_heads num_experts_per_tok", 2),
    **_all("head_dim d_kv query_pre_attn_scalar num_experts num_local_experts", 4),
    **_all("partial_rotary_factor rotary_pct", 0.5),
    **_all("rotary_dim", 2),
    **_all("sliding_window window_size", 3),
    **_all("use_sliding_window is_decoder", True),
    **_all("layer_types", ["sliding_attention", "full_attention"]),
    **_all("attention_types", [[["global", "local"], 1]]),
    **_all("attention_window block_size", 4),
    **_all("num_global_tokens", 2),
    **_all("local_radius global_block_size", 3),
    **_all("max_position_embeddings n_positions max_seq_len", 128),
    **_all("max_encoder_position_embeddings max_decoder_position_embeddings", 128),
    **_all("pad_token_id", 1),
    **_all("eos_token_id bos_token_id decoder_start_token_id", 2),
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {  # name: type and other settings
    "t5 gated, untied": ("t5", {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "longt5 global": ("longt5", {"encoder_attention_type": "transient-global"}),
    "bart scaled": ("bart", {"scale_embedding": True}),
    "marian separate": ("marian", {"share_encoder_decoder_embeddings": False}),
    "gpt2 untied": ("gpt2", {"tie_word_embeddings": False}),
    "llama tied": ("llama", {"tie_word_embeddings": True}),
    "gemma2 capped": (
        "gemma2",
        {"final_logit_softcapping": 0.5, "attn_logit_softcapping": 0.5},
    ),
    "qwen2 full": ("qwen2", {"use_sliding_window": False, "layer_types": None}),
    "cohere scaled": ("cohere", {"logit_scale": 0.3, "use_qk_norm": True}),
    "granite scaled": (
        "granite",
        {"logits_scaling": 7.0, "embedding_multiplier": 3.0, "residual_multiplier": 0.5},
    ),
    "falcon alibi": ("falcon", {"alibi": True}),
    "falcon grouped": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "gpt_bigcode heads": ("gpt_bigcode", {"multi_query": False}),
    "opt projected": ("opt", {"word_embed_proj_dim": 8, "do_layer_norm_before": False}),
    "gpt_neox sequential": ("gpt_neox", {"use_parallel_residual": False}),
    "stablelm parallel": ("stablelm", {"use_parallel_residual": True}),
    "bigbird_pegasus": ("bigbird_pegasus", {"attention_type": "original_full"}),
    "qwen2_moe": ("qwen2_moe", {"use_sliding_window": False, "layer_types": None}),
    "phimoe": ("phimoe", {"sliding_window": None}),
}
QUICK = {"t5", "t5 gated, untied", "bart", "marian", "gpt2", "llama", "qwen2", "gemma2 capped"}
NAMES = sorted((MODEL_TYPES - REASONS.keys() - {"bert"}) | VARIANTS.keys())  # BERT is not causal


def build(name: str, dropout: float = 0.0) -> HuggingFacePolicy:
    """A policy in eval mode; its vocabulary is all of its model's, in another order.

    Args:
        name: One of ``NAMES``.
        dropout: The rate wherever the model has one.
    """
    kind, settings = VARIANTS.get(name, (name, {}))
    config_class = transformers.CONFIG_MAPPING[kind]
    known = inspect.signature(config_class).parameters
    settings = {key: SIZES[key] for key in SIZES if key in known} | settings
    settings |= {key: dropout for key in known if "drop" in key and "layerdrop" not in key}
    config = config_class(vocab_size=V, **settings)
    has_encoder = config.is_encoder_decoder
    auto = transformers.AutoModelForSeq2SeqLM if has_encoder else transformers.AutoModelForCausalLM
    torch.manual_seed(0)
    model = auto.from_config(config)
    with torch.no_grad():  # so that no bias is zero, and differences show
        for weight in filter(lambda weight: weight.requires_grad, model.parameters()):
            weight.add_(torch.randn_like(weight), alpha=0.15)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_()
    model.float()  # Apertus has a few weights in bfloat16
    vocabulary = Vocabulary.from_words([f"w{i}" for i in range(V - 4)])
    ids = [1, 0, 2, 3, *reversed(range(4, V))]
    policy = HuggingFacePolicy(model, vocabulary, ids, [5, 6], [7] if has_encoder else [7, 8])
    policy.missing = policy.missing[:0]  # the model's own loss knows no impossible tokens
    return policy.eval()
