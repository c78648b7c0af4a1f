"""accelerate's disk offload: python -m benchmarks.offload.peer CHECKPOINT FOLDER MEMORY TOKENS."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.offload.checkpoint import expert_bytes
from benchmarks.offload.decode import decode
from hobbit.sizes import parse_size


def run(checkpoint: str, offload: str, memory: str, tokens: int) -> None:
    """Decode with the experts of as many layers in memory as `memory` holds beside everything else.

    First cold: all files that weights may come from are dropped from the page cache before each token. Then
    warm: with whatever the page cache holds, which no budget bounds.
    """
    torch.set_num_threads(2)
    layers = AutoConfig.from_pretrained(checkpoint).num_hidden_layers
    total = sum(file.stat().st_size for file in Path(checkpoint).glob("*.safetensors"))
    rest = total - expert_bytes(layers)
    held = min((parse_size(memory, "memory") - rest) // expert_bytes(1), layers)
    places: dict[str, str] = {"model.embed_tokens": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    places["model.rotary_emb"] = "cpu"
    for number in range(layers):
        path = f"model.layers.{number}"
        for name in ("self_attn", "input_layernorm", "post_attention_layernorm", "mlp.gate"):
            places[f"{path}.{name}"] = "cpu"
        places[f"{path}.mlp.experts"] = "cpu" if number < held else "disk"
    factory: Any = AutoModelForCausalLM  # it has no annotations
    model = factory.from_pretrained(
        checkpoint, device_map=places, offload_folder=offload, dtype="auto", experts_implementation="eager"
    ).eval()
    files = [*Path(checkpoint).glob("*.safetensors"), *Path(offload).glob("**/*")]
    drop_files(files)
    decode(model, 1)
    cold = decode(model, tokens, lambda: drop_files(files))
    warm = decode(model, tokens)
    cold.print(layers_in_memory=int(held), warm=asdict(warm))


def drop_files(files: list[Path]) -> None:
    """Tell the system to forget the pages of these files."""
    for file in files:
        if file.is_file():
            fd = os.open(file, os.O_RDONLY)
            os.fdatasync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
