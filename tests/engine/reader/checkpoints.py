"""Checkpoints in the forms that transformers does not write: fused, quantised, with something amiss."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.engine.families import tiny_checkpoint, tiny_model
from tests.engine.texts import letters

SINGLE = "model.safetensors"
BLOCK = 16


def fused_checkpoint(family: str, folder: Path, dtype: torch.dtype = torch.bfloat16) -> Path:
    """The family's tiny model with its tensors under the model's own names: experts in stacks."""
    model = tiny_model(family, dtype)
    tied = model.all_tied_weights_keys
    tensors = {name: t.contiguous() for name, t in model.state_dict().items() if name not in tied}
    model.config.save_pretrained(folder)
    letters().save_pretrained(folder)
    save_file(tensors, folder / SINGLE, metadata={"format": "pt"})
    return folder


def edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], None], **config: Any) -> Path:
    """Change the tensors of a checkpoint of one file, and entries of its config."""
    tensors = load_file(folder / SINGLE)
    change(tensors)
    save_file(tensors, folder / SINGLE, metadata={"format": "pt"})
    edit_config(folder, **config)
    return folder


def edit_config(folder: Path, **config: Any) -> Path:
    """Change entries of a checkpoint's config."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    return folder


def mxfp4_checkpoint(folder: Path) -> Path:
    """GPT-OSS as it is published: experts of random 4-bit floats with a scale for each 32."""
    generator = torch.Generator().manual_seed(0)

    def pack(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
            experts, inputs, outputs = tensors.pop(name).shape
            groups = (experts, outputs, inputs // 32)
            tensors[f"{name}_blocks"] = torch.randint(
                0, 256, (*groups, 16), generator=generator, dtype=torch.uint8
            )
            tensors[f"{name}_scales"] = torch.randint(
                118, 126, groups, generator=generator, dtype=torch.uint8
            )

    kept = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    return edit(
        tiny_checkpoint("gpt_oss", folder), pack,
        quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": kept},
    )  # fmt: skip


def fp8_checkpoint(family: str, folder: Path) -> Path:
    """The family's tiny model with 8-bit floats, a scale for each block of BLOCK x BLOCK weights."""

    def pack(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name, tensor in tensors.items() if "proj" in name and tensor.ndim == 2]:
            rows, columns = tensors[name].shape
            blocks = tensors[name].float().reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
            scales = blocks.abs().amax((1, 3), keepdim=True) / 448
            tensors[name] = (blocks / scales).reshape(rows, columns).to(torch.float8_e4m3fn)
            tensors[f"{name}_scale_inv"] = scales[:, 0, :, 0].contiguous()

    options = {"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK], "activation_scheme": "dynamic"}
    return edit(tiny_checkpoint(family, folder), pack, quantization_config=options)
