"""A transformers model of a geometry with random weights, and no experts in memory."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from hobbit.engine.families import is_experts
from hobbit.errors import ConfigError
from hobbit.geometry import Geometry

SPREAD = 0.02
"""Standard deviation of random weights: activations stay finite through any number of layers."""


def synthetic_model(
    geometry: Geometry, place: torch.device, positions: int, seed: int = 0
) -> PreTrainedModel:
    """The model in eval mode on `place`, for sequences of up to `positions` tokens.

    Attention, norms, routers, embeddings and head are real, with random weights. The experts' parameters
    have the right shape over one value, for the experts' bytes live in a store.

    Raises:
        ConfigError: for a geometry that no family here builds.
    """
    config = config_of(geometry, positions)
    loader: Any = AutoModelForCausalLM
    with torch.device("meta"):
        model = loader.from_config(config, dtype=getattr(torch, geometry.dtype))
    generator = torch.Generator(place).manual_seed(seed)
    for module in list(model.modules()):
        _fill(module, place, generator)
    model.model.rotary_emb = type(model.model.rotary_emb)(config).to(place)
    return cast(PreTrainedModel, model.eval().requires_grad_(False))


def config_of(geometry: Geometry, positions: int) -> PretrainedConfig:
    """The transformers configuration of a geometry: Qwen3-MoE where its name says so, else Mixtral.

    Raises:
        ConfigError: for shared experts, dense layers or compressed attention.
    """
    if geometry.shared_ffn or geometry.dense_layers or geometry.attention_weights:
        raise ConfigError(
            f"geometry={geometry.name} has shared experts, dense layers or compressed attention, which the "
            "bench cannot build; choose mixtral_8x7b or qwen3_30b_a3b, or task=run with a checkpoint"
        )
    shared: dict[str, Any] = {
        "hidden_size": geometry.hidden,
        "num_hidden_layers": geometry.layers,
        "num_attention_heads": geometry.heads,
        "num_key_value_heads": geometry.kv_heads,
        "head_dim": geometry.head_dim,
        "num_experts_per_tok": geometry.top_k,
        "vocab_size": geometry.vocab,
        "tie_word_embeddings": geometry.tied_embeddings,
        "max_position_embeddings": max(positions, 1024),
        "sliding_window": None,
    }
    if geometry.name.startswith("qwen3"):
        own = {"num_experts": geometry.experts, "moe_intermediate_size": geometry.ffn, "norm_topk_prob": True}
        return AutoConfig.for_model("qwen3_moe", **shared, **own)
    own = {"num_local_experts": geometry.experts, "intermediate_size": geometry.ffn}
    return AutoConfig.for_model("mixtral", **shared, **own)


def _fill(module: nn.Module, place: torch.device, generator: torch.Generator) -> None:
    """Give a module's own parameters memory: norms are ones, matrices random, experts one value."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        empty: dict[str, Any] = {"dtype": parameter.dtype, "device": place}
        if is_experts(module):
            data = torch.zeros(1, **empty).expand(parameter.shape)
        elif parameter.dim() == 1:
            data = torch.ones(parameter.shape, **empty)
        else:
            data = torch.empty(parameter.shape, **empty).normal_(std=SPREAD, generator=generator)
        setattr(module, name, nn.Parameter(data, requires_grad=False))
