"""What every quantizer must keep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch

from hobbit.api import BlobLayout, Quantizer, QuantizerComponent, TensorSpec
from hobbit.api.quantizer import LOSSLESS, NATIVE
from hobbit.blob import ALIGNMENT
from hobbit.errors import ConfigError
from hobbit.testing.requirement import require
from hobbit.testing.scene import Scene

PRECISIONS = (*LOSSLESS, "int8", "int4", "int2")
"""Tried where the quantizer knows them and the dtype allows; native it must know."""


def random_expert(specs: Mapping[str, TensorSpec], seed: int = 0) -> dict[str, torch.Tensor]:
    """Tensors of these shapes and dtypes, normally distributed."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(spec.shape, generator=generator).to(getattr(torch, spec.dtype))
        for name, spec in specs.items()
    }


def check_quantizer(component: QuantizerComponent, scene: Scene) -> None:
    """Blobs are as long as their layout says and decode to the shapes and dtypes given, some exactly.

    Fewer bytes never come closer to the original; an unknown precision is refused.

    Raises:
        ContractError: if a rule is broken.
    """
    quantizer = component.build(scene.context())
    specs = scene.geometry.expert_tensors()
    require(_layout(quantizer, specs, "no such precision") is None, "an unknown precision raises ConfigError")
    require(_layout(quantizer, specs, NATIVE) is not None, f"every quantizer knows the precision {NATIVE!r}")
    tensors = random_expert(specs)
    outcomes = []
    for precision in PRECISIONS:
        layout = _layout(quantizer, specs, precision)
        if layout is not None:
            _check_layout(layout, specs)
            outcomes.append((layout.nbytes, _round_trip(quantizer, tensors, layout)))
    for (small, large_error), (large, small_error) in pairwise(sorted(outcomes)):
        require(large_error >= small_error, f"{small} bytes come closer to the original than {large} do")


def _layout(quantizer: Quantizer, specs: Mapping[str, TensorSpec], precision: str) -> BlobLayout | None:
    try:
        return quantizer.layout(specs, precision)
    except ConfigError:
        return None


def _check_layout(layout: BlobLayout, specs: Mapping[str, TensorSpec]) -> None:
    require(dict(layout.tensors) == dict(specs), f"the layout decodes to {layout.tensors}, not to {specs}")
    end = 0
    for field in layout.fields:
        require(field.offset % ALIGNMENT == 0, f"{field} does not start on a multiple of {ALIGNMENT}")
        require(field.offset >= end, f"{field} overlaps the one before")
        end = field.offset + field.spec.nbytes
    require(end <= layout.nbytes, f"the fields end at {end}, beyond the blob's {layout.nbytes} bytes")


def _round_trip(quantizer: Quantizer, tensors: Mapping[str, torch.Tensor], layout: BlobLayout) -> float:
    """Relative error of the decoded tensors, in [0, 1)."""
    what = f"{layout.precision} blob"
    blob = quantizer.encode(tensors, layout.precision)
    require(blob.dtype == torch.uint8 and blob.dim() == 1, f"{what} is uint8 in one dimension")
    require(
        blob.numel() == layout.nbytes, f"{what} has {blob.numel()} bytes; its layout says {layout.nbytes}"
    )
    require(
        torch.equal(blob, quantizer.encode(tensors, layout.precision)), f"{what}: encoding is deterministic"
    )
    decoded = quantizer.decode(blob, layout)
    require(list(decoded) == list(tensors), f"{what} decodes to {list(decoded)}, not to {list(tensors)}")
    error = norm = 0.0
    for name, tensor in tensors.items():
        got = decoded[name]
        require(
            got.shape == tensor.shape and got.dtype == tensor.dtype, f"{what}: {name} changes shape or dtype"
        )
        if layout.precision in LOSSLESS:
            require(torch.equal(got, tensor), f"{what}: {name} is not what was encoded")
        if layout.precision == NATIVE:
            inside = 0 <= got.data_ptr() - blob.data_ptr() < blob.numel()
            require(inside, f"{what}: {name} is a copy, not a view of the blob")
        error += float((got.float() - tensor.float()).square().sum())
        norm += float(tensor.float().square().sum())
    require(error < norm, f"{what} is no better than zeros: relative error {math.sqrt(error / norm):.2f}")
    return math.sqrt(error / norm)
