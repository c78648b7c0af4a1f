"""What the kernels say they can run, and why not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hobbit_devices.kernels import build_kernels, supports
from hobbit_devices.kernels.formats import ExpertFormat
from hobbit_devices.kernels.reference import ReferenceKernels

from benchmarks.kernels.blobs import layout_of
from hobbit.api import BlobLayout, Geometry, TensorSpec
from hobbit.errors import DeviceError
from tests.devices.kernels.slots import FORMATS, Experts


@pytest.mark.parametrize(
    ("precision", "name", "planes"),
    [
        ("native", "bfloat16", 1),
        ("int8", "int8", 1),
        ("int4", "int4", 2),
        ("int2", "int2", 4),
        ("lossless12", "lossless12", 1),
    ],
)
def test_a_format_is_read_from_the_layout(precision: str, name: str, planes: int) -> None:
    layout = Experts(precision).layout
    format = ExpertFormat.of(layout)
    assert (format.name, format.up.planes, format.hidden, format.ffn) == (name, planes, 128, 192)
    offsets = [
        offset
        for matrix in (format.up, format.down)
        for offset in (matrix.data, matrix.codes, matrix.scale, matrix.shift, matrix.starts, matrix.strays)
        if offset >= 0
    ]
    assert offsets == [field.offset for field in layout.fields]


@pytest.mark.parametrize("precision", FORMATS)
@pytest.mark.parametrize("sizes", [(4096, 14336), (2048, 768), (1024, 512)], ids=str)
def test_usual_experts_are_supported(precision: str, sizes: tuple[int, int]) -> None:
    layout = layout_of(Geometry(hidden=sizes[0], ffn=sizes[1]), precision)
    assert supports(layout, "silu") is None


@pytest.mark.parametrize(
    ("traits", "reason"),
    [
        ({"has_gate": False}, "no kernel for experts without a gate"),
        ({"is_concatenated": False}, "no kernel for interleaved gate and up rows"),
        ({"is_transposed": True}, "no kernel for transposed weights"),
        ({"has_bias": True}, "no kernel for biases"),
        ({"has_post_expert_norm": True}, "no kernel for a norm behind each expert"),
        ({"activation": "tanh"}, "no kernel for activation 'tanh'"),
    ],
)
def test_other_families_are_refused_with_a_reason(traits: dict[str, Any], reason: str) -> None:
    assert supports(Experts("int4").layout, **traits) == reason


def test_shapes_that_do_not_fit_are_refused_with_the_number() -> None:
    assert supports(Experts("native", hidden=40).layout) == (
        "no kernel for 40 input columns: not a multiple of 16"
    )
    assert supports(Experts("int4", ffn=96, hidden=96, group=48).layout) == (
        "no kernel for groups of 48: not a power of two of at least 16"
    )


def test_an_unknown_blob_is_refused() -> None:
    spec = TensorSpec((64, 32), "bfloat16")
    layout = BlobLayout.pack("odd", (("up_proj", spec),), (("up_proj", "data", spec),))
    assert supports(layout) == "no kernel: an expert of the tensors up_proj is not a plain gated one"
    with pytest.raises(DeviceError, match="up_proj"):
        build_kernels(layout, torch.zeros(1, layout.nbytes, dtype=torch.uint8))


def test_without_a_gpu_the_reference_runs_and_says_why() -> None:
    experts = Experts("int8")
    kernels, reason = build_kernels(experts.layout, experts.pool.cpu())
    assert isinstance(kernels, ReferenceKernels)
    assert reason is not None


def test_an_old_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from hobbit_devices.kernels import available, support

    monkeypatch.setattr(support, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old GPU")
    assert available(torch.device("cuda", 0)) == "Old GPU has compute capability 7.5, below 8.0"
