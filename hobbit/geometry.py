"""Geometry: the sizes of an MoE model, from which bytes and flops are charged. No weights."""

from __future__ import annotations

from dataclasses import dataclass

from hobbit.blob import ITEM_BYTES, TensorSpec
from hobbit.types import RoutingShape


@dataclass
class Geometry:
    """Sizes of a reference model (or of the live model itself); `conf/geometry` names the known ones.

    `layers` counts MoE layers; `dense_layers` more layers hold a dense FFN of `dense_ffn`. `shared_ffn` is
    the width of the shared experts of an MoE layer, resident like all non-expert weights. `dtype` is the
    checkpoint's own dtype, by its torch name.
    """

    name: str = "?"
    layers: int = 32
    experts: int = 8
    top_k: int = 2
    hidden: int = 4096
    ffn: int = 14336
    vocab: int = 32000
    heads: int = 32
    kv_heads: int = 8
    head_dim: int = 128
    shared_ffn: int = 0
    dense_layers: int = 0
    dense_ffn: int = 0
    tied_embeddings: bool = False
    dtype: str = "bfloat16"
    kv_values_per_token: int = 0
    """KV values per token and layer where attention compresses them (MLA); 0: 2 x kv_heads x head_dim."""
    attention_weights: int = 0
    """Weights of one attention block where it is not plain q, k, v, o; 0: computed from the heads."""
    source: str = ""

    @property
    def shape(self) -> RoutingShape:
        """Layers, experts and top-K."""
        return RoutingShape(self.layers, self.experts, self.top_k)

    @property
    def item_bytes(self) -> int:
        """Bytes of one value in the checkpoint's dtype."""
        return ITEM_BYTES[self.dtype]

    def expert_tensors(self) -> dict[str, TensorSpec]:
        """The tensors of one expert, as transformers' experts modules name and shape them."""
        return {
            "gate_up_proj": TensorSpec((2 * self.ffn, self.hidden), self.dtype),
            "down_proj": TensorSpec((self.hidden, self.ffn), self.dtype),
        }

    @property
    def expert_values(self) -> int:
        """Weights of one expert."""
        return 3 * self.ffn * self.hidden

    @property
    def layer_values(self) -> int:
        """Non-expert weights of one MoE layer: attention, norms, router, shared experts."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = self.attention_weights or self.hidden * (2 * q + 2 * kv)
        return attention + 2 * self.hidden + self.experts * self.hidden + 3 * self.shared_ffn * self.hidden

    @property
    def dense_layer_values(self) -> int:
        """Weights of one layer with a dense FFN: no router, no shared experts."""
        router_and_shared = (self.experts + 3 * self.shared_ffn) * self.hidden
        return self.layer_values - router_and_shared + 3 * self.dense_ffn * self.hidden

    @property
    def embedding_values(self) -> int:
        """Weights of one vocabulary matrix."""
        return self.vocab * self.hidden

    @property
    def non_expert_bytes(self) -> int:
        """Bytes of everything that always stays on the device."""
        layers = self.layers * self.layer_values + self.dense_layers * self.dense_layer_values
        embeddings = self.embedding_values * (1 if self.tied_embeddings else 2)
        return (layers + embeddings + self.hidden) * self.item_bytes

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that one token adds to the KV cache, all layers."""
        values = self.kv_values_per_token or 2 * self.kv_heads * self.head_dim
        return (self.layers + self.dense_layers) * values * self.item_bytes
