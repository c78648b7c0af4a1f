"""Skeleton: a checkpoint's model without weights, as from_pretrained would build it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.quantizers.auto import AutoHfQuantizer, AutoQuantizationConfig

from hobbit.engine.anatomy import MoELayer, find_layers
from hobbit.errors import ModelError, first_line

DEQUANTIZED = ("mxfp4", "fp8")
"""Quantised checkpoints that transformers turns into plain weights as it loads them."""

DEFAULT_DTYPE = torch.float32


@dataclass(frozen=True, slots=True)
class Skeleton:
    """`model` lies on the meta device, in eval mode, with its MoE `layers`; `dtype` is its weights'.

    `quantizer` is transformers' own where the weights in the files are quantised, told to dequantise them.
    """

    model: PreTrainedModel
    layers: tuple[MoELayer, ...]
    dtype: torch.dtype
    quantizer: Any

    @staticmethod
    def of(folder: Path, dtype: torch.dtype | None = None, stored: torch.dtype = DEFAULT_DTYPE) -> Skeleton:
        """The skeleton of the config in `folder`. No remote code is run, and the network not asked.

        `dtype` overrides the config's; `stored` is the files', for a config that names none.

        Raises:
            ModelError: if the config is missing, unknown, not a mixture of experts, or asks for a
                quantisation that cannot be undone.
        """
        config = _config(folder)
        quantizer = _quantizer(config)
        dtype = dtype or config.dtype or stored
        if quantizer is not None:
            dtype = quantizer.update_dtype(dtype)
        factory: Any = AutoModelForCausalLM  # it has no annotations
        try:
            with torch.device("meta"):
                model = factory.from_config(
                    config, dtype=dtype, trust_remote_code=False, experts_implementation="eager"
                )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, AttributeError) as error:
            raise ModelError(f"its model cannot be built ({first_line(error)})") from None
        assert isinstance(dtype, torch.dtype)
        return Skeleton(model.eval(), find_layers(model), dtype, quantizer)

    def dtype_of(self, name: str, parameter: torch.Tensor) -> torch.dtype:
        """The dtype of a tensor once it is loaded: some families keep a few of theirs in float32."""
        kept: dict[str, torch.dtype] = self.model._get_dtype_plan(self.dtype)
        for pattern, dtype in kept.items():
            if re.search(pattern.replace("*", ".*"), name):
                return dtype
        return parameter.dtype


def _config(folder: Path) -> Any:
    if not (folder / "config.json").is_file():
        raise ModelError("it has no config.json; it is not a transformers checkpoint")
    try:
        return AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    # Configs fail in as many ways as there are families; none of them is the user's to read.
    except Exception as error:
        raise ModelError(f"its config.json cannot be used ({first_line(error)})") from None


def _quantizer(config: Any) -> Any:
    """transformers' quantiser, set to dequantise; None for plain weights. The config forgets of it."""
    stated = getattr(config, "quantization_config", None)
    if stated is None:
        return None
    values = stated if isinstance(stated, dict) else stated.to_dict()
    method = str(getattr(values.get("quant_method"), "value", values.get("quant_method")))
    if method not in DEQUANTIZED:
        raise ModelError(
            f"its weights are quantised with {method}, which is not undone here (as "
            f"{' and '.join(DEQUANTIZED)} are); use the checkpoint in its original dtype"
        )
    del config.quantization_config
    options = AutoQuantizationConfig.from_dict(values)
    options.dequantize = True
    return AutoHfQuantizer.from_config(options, pre_quantized=True)
