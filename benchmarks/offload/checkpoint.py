"""A synthetic checkpoint in OLMoE's geometry, written layer by layer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import OlmoeConfig, PreTrainedTokenizerFast

SEED = 0
SPREAD = 0.02
"""Standard deviation of the weights, the family's own initialisation."""

EMBEDDED = 1.0
"""That of the embeddings: were it SPREAD, attention would drown the token, and all would be routed alike."""

BANK = 1 << 24
"""Random values that are drawn; every tensor is a stretch of them, from an offset of its own."""


def config_of(layers: int) -> OlmoeConfig:
    """OLMoE-1B-7B's sizes (64 experts, top-8, hidden 2048, expert width 1024) with so many layers."""
    return OlmoeConfig(
        vocab_size=50304, hidden_size=2048, intermediate_size=1024, num_hidden_layers=layers,
        num_attention_heads=16, num_key_value_heads=16, num_experts=64, num_experts_per_tok=8,
        max_position_embeddings=4096, rope_theta=10000.0, dtype="bfloat16", bos_token_id=0, eos_token_id=None,
        pad_token_id=1, tie_word_embeddings=False,
    )  # fmt: skip


def expert_bytes(layers: int) -> int:
    """Bytes of all experts in bfloat16."""
    config = config_of(layers)
    one = 3 * config.hidden_size * config.intermediate_size
    return layers * config.num_experts * one * 2


def write_checkpoint(folder: Path, layers: int) -> None:
    """Write it to `folder`: a shard a layer, one more for the rest; never more than one in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    config = config_of(layers)
    config.architectures = ["OlmoeForCausalLM"]
    config.save_pretrained(folder)
    _tokenizer(config.vocab_size).save_pretrained(folder)
    bank = _Bank()
    names: dict[str, str] = {}
    for number in range(layers + 1):
        shard = f"model-{number + 1:05d}-of-{layers + 1:05d}.safetensors"
        shapes = _layer(config, number) if number < layers else _rest(config)
        tensors = {name: bank.draw(name, shape) for name, shape in shapes}
        save_file(tensors, folder / shard, metadata={"format": "pt"})
        names |= dict.fromkeys(tensors, shard)
    index = {"metadata": {}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


class _Bank:
    """Weights that are cheap to make: stretches of one bank of random values, end to end."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(SEED)
        self._values = (torch.randn(BANK, generator=generator) * SPREAD).bfloat16()
        self._next = 0

    def draw(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        if "norm" in name:
            return torch.ones(shape, dtype=torch.bfloat16)
        count = torch.Size(shape).numel()
        self._next = (self._next + 1_000_003) % BANK
        repeats = -(-(count + self._next) // BANK)
        values = self._values if repeats == 1 else self._values.repeat(repeats)
        drawn = values[self._next : self._next + count].reshape(shape)
        return drawn * (EMBEDDED / SPREAD) if "embed_tokens" in name else drawn.clone()


def _layer(config: OlmoeConfig, number: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, width = config.hidden_size, config.intermediate_size
    path = f"model.layers.{number}"
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        yield f"{path}.self_attn.{name}.weight", (hidden, hidden)
    for name in ("self_attn.q_norm", "self_attn.k_norm", "input_layernorm", "post_attention_layernorm"):
        yield f"{path}.{name}.weight", (hidden,)
    yield f"{path}.mlp.gate.weight", (config.num_experts, hidden)
    for expert in range(config.num_experts):
        yield f"{path}.mlp.experts.{expert}.gate_proj.weight", (width, hidden)
        yield f"{path}.mlp.experts.{expert}.up_proj.weight", (width, hidden)
        yield f"{path}.mlp.experts.{expert}.down_proj.weight", (hidden, width)


def _rest(config: OlmoeConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (config.vocab_size, config.hidden_size)
    yield "lm_head.weight", (config.vocab_size, config.hidden_size)
    yield "model.norm.weight", (config.hidden_size,)


def _tokenizer(size: int) -> PreTrainedTokenizerFast:
    """Words "t0" .. "t50303": nobody reads what random weights say."""
    vocabulary = {f"t{number}": number for number in range(size)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="t2"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast: Any = PreTrainedTokenizerFast  # it has no annotations
    return cast(PreTrainedTokenizerFast, fast(tokenizer_object=tokenizer, bos_token="t0", pad_token="t1"))
