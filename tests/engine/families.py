"""Tiny random models of every MoE family that hobbit is held to; the same seed gives the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from tests.engine.texts import save_checkpoint

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_experts_per_tok": 3,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": None,
    "pad_token_id": 1,
}
"""What all have in common; a token of the vocabulary is a letter."""

LATENT = {
    "num_key_value_heads": 4, "q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 16, "v_head_dim": 16,
}  # fmt: skip
"""Attention through a latent, as in the DeepSeek family."""

GROUPED = {"n_routed_experts": 16, "n_group": 4, "topk_group": 2, "routed_scaling_factor": 1.5}
"""A router that first chooses 2 of 4 groups of experts."""

OWN: dict[str, dict[str, Any]] = {
    "mixtral": {"intermediate_size": 64, "num_local_experts": 8, "num_experts_per_tok": 2},
    "phimoe": {"intermediate_size": 64, "num_local_experts": 8, "num_experts_per_tok": 2},
    "qwen2_moe": {
        "intermediate_size": 96, "moe_intermediate_size": 64, "num_experts": 12,
        "shared_expert_intermediate_size": 96, "decoder_sparse_step": 1, "mlp_only_layers": [1],
    },
    "qwen3_moe": {
        "intermediate_size": 96, "moe_intermediate_size": 64, "num_experts": 16, "mlp_only_layers": [0],
        "norm_topk_prob": True, "tie_word_embeddings": True,
    },
    "olmoe": {"intermediate_size": 64, "num_experts": 16, "num_experts_per_tok": 4},
    "granitemoe": {
        "intermediate_size": 64, "num_local_experts": 8, "tie_word_embeddings": True,
        "embedding_multiplier": 2.0, "residual_multiplier": 0.5, "attention_multiplier": 0.25,
    },
    "deepseek_v2": LATENT | GROUPED | {
        "intermediate_size": 96, "moe_intermediate_size": 64, "n_shared_experts": 2,
        "first_k_dense_replace": 1, "topk_method": "group_limited_greedy",
    },
    "deepseek_v3": LATENT | GROUPED | {
        "intermediate_size": 96, "moe_intermediate_size": 64, "n_shared_experts": 1,
        "first_k_dense_replace": 2, "num_mtp_layers": 0,
    },
    "gpt_oss": {
        "intermediate_size": 64, "num_local_experts": 8, "sliding_window": 24,
        "rope_parameters": {
            "rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 128,
        },
    },
    "glm4_moe": GROUPED | {
        "intermediate_size": 96, "moe_intermediate_size": 64, "n_shared_experts": 1,
        "first_k_dense_replace": 1, "use_qk_norm": True, "num_mtp_layers": 0,
    },
    "ernie4_5_moe": {
        "intermediate_size": 96, "moe_intermediate_size": 64, "moe_num_experts": 12, "moe_k": 3,
        "moe_num_shared_experts": 2, "moe_layer_start_index": 1, "tie_word_embeddings": True,
    },
    "minimax_m2": {"intermediate_size": 64, "num_local_experts": 16},
    "dots1": GROUPED | {
        "intermediate_size": 96, "moe_intermediate_size": 64, "n_shared_experts": 1,
        "first_k_dense_replace": 1, "norm_topk_prob": True,
    },
    "qwen3_next": {
        "intermediate_size": 96, "moe_intermediate_size": 64, "num_experts": 16,
        "shared_expert_intermediate_size": 64, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4,
        "layer_types": ["linear_attention", "full_attention"] * 2,
    },
}  # fmt: skip
"""What each has of its own: shared experts, dense layers, grouped, biased and sigmoid routers, tied heads."""

FAMILIES = tuple(OWN)

SPREAD = 0.2
"""Standard deviation of what is added to tensors that transformers starts as constants."""


def tiny_config(family: str) -> PreTrainedConfig:
    """The configuration of the family's tiny model: 4 layers, at most 16 experts."""
    return AutoConfig.for_model(family, **SIZES | OWN[family])


def tiny_model(family: str, dtype: torch.dtype = torch.bfloat16) -> PreTrainedModel:
    """A random model of the family, in eval mode, on transformers' eager experts."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(tiny_config(family), dtype=dtype)
    _spread_constants(model)
    model.set_experts_implementation("eager")
    return model.eval()


def tiny_checkpoint(family: str, path: Path, dtype: torch.dtype = torch.bfloat16, shard: str = "5GB") -> Path:
    """The same model in the folder `path`, as transformers saves it, in shards of at most `shard`."""
    return save_checkpoint(path, tiny_model(family, dtype), shard)


@torch.no_grad()
def _spread_constants(model: PreTrainedModel) -> None:
    """Make biases, norms and the corrections of routers matter: they start as all zeros or all ones."""
    generator = torch.Generator().manual_seed(0)
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    kept: Callable[[str], bool] = model.state_dict().__contains__
    for name, tensor in tensors.items():
        if kept(name) and bool((tensor == tensor.flatten()[0]).all()):
            tensor += SPREAD * torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
