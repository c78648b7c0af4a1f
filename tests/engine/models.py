"""Tiny random MoE models, by family; the same seed gives the same weights."""

from __future__ import annotations

import torch
from transformers import (
    AutoModelForCausalLM,
    MixtralConfig,
    OlmoeConfig,
    PhimoeConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3MoeConfig,
)

SIZES = {
    "vocab_size": 97,
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": None,
    "pad_token_id": 1,
}

FAMILIES: dict[str, PreTrainedConfig] = {
    "mixtral": MixtralConfig(**SIZES, intermediate_size=48, num_local_experts=8),
    "qwen3_moe": Qwen3MoeConfig(
        **SIZES | {"num_experts_per_tok": 3},
        head_dim=16,
        intermediate_size=48,
        moe_intermediate_size=32,
        num_experts=16,
        mlp_only_layers=[0],
        norm_topk_prob=True,
    ),
    "olmoe": OlmoeConfig(**SIZES | {"num_experts_per_tok": 4}, intermediate_size=32, num_experts=16),
    "phimoe": PhimoeConfig(**SIZES, intermediate_size=48, num_local_experts=8),
}


def tiny_model(family: str = "mixtral", dtype: torch.dtype = torch.bfloat16) -> PreTrainedModel:
    """A random model of the family, in eval mode, on transformers' eager experts."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(FAMILIES[family], dtype=dtype)
    model.set_experts_implementation("eager")
    return model.eval()
