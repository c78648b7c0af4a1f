"""A GGUF file of a geometry with random weights, for llama.cpp's own bench."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hobbit.bench.model import SPREAD
from hobbit.geometry import Geometry

_DRAWN = 1 << 20
"""Values that are drawn; matrices repeat them."""


def write_gguf(geometry: Geometry, path: Path, context: int, seed: int = 0) -> None:
    """Write a Mixtral (llama.cpp's "llama") or Qwen3-MoE ("qwen3moe") of this geometry, weights in F16.

    Names and shapes are those that llama.cpp's converter writes. There is no vocabulary, only its size.
    Raises ImportError without the gguf package.
    """
    from gguf import GGUFWriter

    qwen = geometry.name.startswith("qwen3")
    writer = GGUFWriter(path, "qwen3moe" if qwen else "llama")
    _describe(writer, geometry, context, qwen)
    tensors = list(_tensors(geometry, qwen))
    for name, shape, dtype in tensors:
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        writer.add_tensor_info(name, shape, np.dtype(dtype), nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    drawn = (np.random.default_rng(seed).standard_normal(_DRAWN, np.float32) * SPREAD).astype(np.float16)
    for name, shape, _ in tensors:
        writer.write_tensor_data(_values(name, shape, drawn))
    writer.close()


def _describe(writer: Any, geometry: Geometry, context: int, qwen: bool) -> None:
    writer.add_name(f"synthetic {geometry.name}")
    writer.add_context_length(max(context, 1024))
    writer.add_embedding_length(geometry.hidden)
    writer.add_block_count(geometry.layers)
    writer.add_feed_forward_length(geometry.ffn)
    if qwen:
        writer.add_expert_feed_forward_length(geometry.ffn)
    writer.add_head_count(geometry.heads)
    writer.add_head_count_kv(geometry.kv_heads)
    writer.add_key_length(geometry.head_dim)
    writer.add_value_length(geometry.head_dim)
    writer.add_rope_dimension_count(geometry.head_dim)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_expert_count(geometry.experts)
    writer.add_expert_used_count(geometry.top_k)
    writer.add_vocab_size(geometry.vocab)
    writer.add_tokenizer_model("no_vocab")
    writer.add_file_type(1)  # mostly F16


def _tensors(geometry: Geometry, qwen: bool) -> Iterator[tuple[str, tuple[int, ...], type]]:
    """Name, shape (rows first) and dtype of every tensor."""
    d, q, kv = geometry.hidden, geometry.heads * geometry.head_dim, geometry.kv_heads * geometry.head_dim
    experts, ffn = geometry.experts, geometry.ffn
    yield "token_embd.weight", (geometry.vocab, d), np.float16
    for layer in range(geometry.layers):
        block = f"blk.{layer}."
        yield f"{block}attn_norm.weight", (d,), np.float32
        yield f"{block}attn_q.weight", (q, d), np.float16
        yield f"{block}attn_k.weight", (kv, d), np.float16
        yield f"{block}attn_v.weight", (kv, d), np.float16
        yield f"{block}attn_output.weight", (d, q), np.float16
        if qwen:
            yield f"{block}attn_q_norm.weight", (geometry.head_dim,), np.float32
            yield f"{block}attn_k_norm.weight", (geometry.head_dim,), np.float32
        yield f"{block}ffn_norm.weight", (d,), np.float32
        yield f"{block}ffn_gate_inp.weight", (experts, d), np.float32
        yield f"{block}ffn_gate_exps.weight", (experts, ffn, d), np.float16
        yield f"{block}ffn_down_exps.weight", (experts, d, ffn), np.float16
        yield f"{block}ffn_up_exps.weight", (experts, ffn, d), np.float16
    yield "output_norm.weight", (d,), np.float32
    yield "output.weight", (geometry.vocab, d), np.float16


def _values(name: str, shape: tuple[int, ...], drawn: npt.NDArray[np.float16]) -> npt.NDArray[Any]:
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    values = np.resize(drawn, shape)
    return values.astype(np.float32) if name.endswith("gate_inp.weight") else values
