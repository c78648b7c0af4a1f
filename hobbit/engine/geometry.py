"""The geometry of a loaded model, measured on its tensors; its config only says what they cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from hobbit.blob import WEIGHT_DTYPES
from hobbit.engine.anatomy import MoELayer
from hobbit.errors import ModelError
from hobbit.geometry import Geometry


def measure_geometry(model: PreTrainedModel, layers: Sequence[MoELayer], name: str) -> Geometry:
    """The geometry of `model` with these MoE `layers`; call it while the experts' weights are in the model.

    What a decoder layer holds beyond experts, router, shared experts and two norms counts as attention.

    Raises:
        ModelError: if the weights' dtype is none that a blob may hold.
    """
    config: Any = model.config.get_text_config()
    first = layers[0]
    hidden, ffn = _expert_sizes(first)
    embeddings = model.get_input_embeddings().get_parameter("weight")
    geometry = Geometry(
        name=name,
        layers=len(layers),
        experts=first.expert_count,
        top_k=first.top_k,
        hidden=hidden,
        ffn=ffn,
        vocab=embeddings.shape[0],
        heads=config.num_attention_heads,
        kv_heads=getattr(config, "num_key_value_heads", None) or config.num_attention_heads,
        head_dim=getattr(config, "head_dim", None) or hidden // config.num_attention_heads,
        shared_ffn=_shared_values(first) // (3 * hidden),
        dense_layers=config.num_hidden_layers - len(layers),
        dense_ffn=config.intermediate_size if config.num_hidden_layers > len(layers) else 0,
        tied_embeddings=_tied(model, embeddings),
        dtype=_dtype(first),
        source="measured on the loaded model",
    )
    rest = _values(first.decoder) - _values(first.experts)
    geometry.attention_weights += rest - geometry.layer_values + _plain_attention(geometry)
    return geometry


def _expert_sizes(layer: MoELayer) -> tuple[int, int]:
    """(d, F) from the shape of the down projection."""
    down = layer.experts.get_parameter("down_proj")
    hidden, ffn = down.shape[1:] if not layer.traits.is_transposed else reversed(down.shape[1:])
    return hidden, ffn


def _shared_values(layer: MoELayer) -> int:
    """Weights of the block beyond experts and router."""
    router = _values(layer.router) if layer.router is not None else 0
    return _values(layer.block) - _values(layer.experts) - router


def _plain_attention(geometry: Geometry) -> int:
    """Weights of q, k, v and o, as `Geometry.layer_values` counts them by itself."""
    return 2 * geometry.hidden * (geometry.heads + geometry.kv_heads) * geometry.head_dim


def _tied(model: PreTrainedModel, embeddings: object) -> bool:
    head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return head is not None and head.weight is embeddings


def _dtype(layer: MoELayer) -> str:
    name = str(layer.experts.get_parameter("down_proj").dtype).removeprefix("torch.")
    if name not in WEIGHT_DTYPES:
        raise ModelError(f"the experts are stored as {name}; load them as one of {', '.join(WEIGHT_DTYPES)}")
    return name


def _values(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
