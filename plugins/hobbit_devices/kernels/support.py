"""What the kernels can run: anything else takes the generic path through decoded tensors."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from hobbit.api import BlobLayout
from hobbit.errors import DeviceError
from hobbit_devices.kernels.configs import SMALL
from hobbit_devices.kernels.formats import ExpertFormat, PackedMatrix

if TYPE_CHECKING:
    import torch

ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "relu": "relu",
}
"""transformers' names of the activations that the kernels know, and the kernels' own."""

OLDEST = (8, 0)
"""Compute capability from which Triton compiles all of the kernels: bfloat16 needs it."""


def available(device: torch.device | None = None) -> str | None:
    """None if the Triton kernels run here (on `device`, if given), else why not."""
    import torch

    if find_spec("triton") is None:
        return "triton is not installed"
    if device is None or device.type != "cuda":
        return None if torch.cuda.is_available() else "no CUDA device is visible"
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST:
        found, needed = (".".join(map(str, version)) for version in (capability, OLDEST))
        return f"{torch.cuda.get_device_name(device)} has compute capability {found}, below {needed}"
    return None


def shared_memory(device: torch.device) -> int:
    """Bytes of shared memory that a block can have on `device`, that of host memory being the current GPU."""
    import torch

    if not torch.cuda.is_available():
        return SMALL
    properties = torch.cuda.get_device_properties(device if device.type == "cuda" else None)
    return int(getattr(properties, "shared_memory_per_block_optin", SMALL))


def supports(
    layout: BlobLayout,
    activation: str = "silu",
    *,
    has_gate: bool = True,
    is_concatenated: bool = True,
    is_transposed: bool = False,
    has_bias: bool = False,
    has_post_expert_norm: bool = False,
) -> str | None:
    """None if experts in blobs of `layout` and with these traits can be run by the kernels, else why not.

    The fast path is act(gate) * up on concatenated halves, then the down product, and nothing else; the
    traits are named as on transformers' experts modules.
    """
    for wrong, reason in (
        (not has_gate, "experts without a gate"),
        (not is_concatenated, "interleaved gate and up rows"),
        (is_transposed, "transposed weights"),
        (has_bias, "biases"),
        (has_post_expert_norm, "a norm behind each expert"),
        (activation not in ACTIVATIONS, f"activation {activation!r}"),
    ):
        if wrong:
            return f"no kernel for {reason}"
    try:
        format = ExpertFormat.of(layout)
    except DeviceError as error:
        return f"no kernel: {error}"
    return next(filter(None, (_fits(matrix) for matrix in (format.up, format.down))), None)


def _fits(matrix: PackedMatrix) -> str | None:
    if matrix.columns % 16:
        return f"no kernel for {matrix.columns} input columns: not a multiple of 16"
    if matrix.bits in (2, 4):
        if matrix.group % 16 or matrix.group & (matrix.group - 1):
            return f"no kernel for groups of {matrix.group}: not a power of two of at least 16"
        if matrix.rows % matrix.planes:
            return f"no kernel for {matrix.rows} rows of {matrix.bits} bits: {matrix.planes} share a byte"
    return None
