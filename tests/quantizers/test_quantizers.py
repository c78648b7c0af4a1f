"""Blobs: exact sizes, lossless native, quanto's own numbers, and errors in the expected order."""

from __future__ import annotations

import pytest
import torch
from hobbit_quantizers.grouped import ScaleSearch
from hobbit_quantizers.none import NoQuantizer
from hobbit_quantizers.quanto import QuantoQuantizer
from hypothesis import given, settings
from hypothesis import strategies as st
from optimum.quanto import WeightQBitsTensor, WeightQBytesTensor, qtypes
from optimum.quanto.tensor.packed import PackedTensor

from hobbit.api import Context, Geometry, Quantizer, Records, TensorSpec
from hobbit.blob import ALIGNMENT
from hobbit.errors import ConfigError

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
LOSSY = ("int8", "int4", "int2")


def build(component: NoQuantizer | QuantoQuantizer) -> Quantizer:
    geometry = Geometry(layers=2, experts=4, hidden=64, ffn=64)
    return component.build(Context(geometry, ("native",), (), Records(geometry.shape)))


def expert(rows: int, columns: int, dtype: torch.dtype, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "gate_up_proj": (torch.randn(2 * rows, columns, generator=generator) * 0.05).to(dtype),
        "down_proj": (torch.randn(columns, rows, generator=generator) * 0.05).to(dtype),
    }


def specs(tensors: dict[str, torch.Tensor]) -> dict[str, TensorSpec]:
    return {name: TensorSpec(tuple(t.shape), str(t.dtype)[6:]) for name, t in tensors.items()}


def error(quantizer: Quantizer, tensors: dict[str, torch.Tensor], precision: str) -> float:
    layout = quantizer.layout(specs(tensors), precision)
    decoded = quantizer.decode(quantizer.encode(tensors, precision), layout)
    return sum(float((decoded[name].float() - t.float()).abs().mean()) for name, t in tensors.items())


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 6).map(lambda n: 16 * n),
    columns=st.integers(1, 6).map(lambda n: 16 * n),
    dtype=st.sampled_from(DTYPES),
    precision=st.sampled_from(("native", *LOSSY)),
)
def test_layout_says_exactly_what_encode_gives(
    rows: int, columns: int, dtype: torch.dtype, precision: str
) -> None:
    quantizer = build(QuantoQuantizer(group_size=16))
    tensors = expert(rows, columns, dtype)
    layout = quantizer.layout(specs(tensors), precision)
    blob = quantizer.encode(tensors, precision)
    assert (blob.dtype, blob.numel()) == (torch.uint8, layout.nbytes)
    assert layout.nbytes % ALIGNMENT == 0
    assert all(field.offset % ALIGNMENT == 0 for field in layout.fields)
    assert torch.equal(blob, quantizer.encode(tensors, precision))
    decoded = quantizer.decode(blob, layout)
    assert list(decoded) == list(tensors)
    assert all(decoded[name].shape == t.shape and decoded[name].dtype == dtype for name, t in tensors.items())


@pytest.mark.parametrize("component", [NoQuantizer(), QuantoQuantizer()])
@pytest.mark.parametrize("dtype", DTYPES)
def test_native_is_lossless_and_decodes_to_views(
    component: NoQuantizer | QuantoQuantizer, dtype: torch.dtype
) -> None:
    quantizer = build(component)
    tensors = expert(48, 40, dtype)
    layout = quantizer.layout(specs(tensors), "native")
    blob = quantizer.encode(tensors, "native")
    decoded = quantizer.decode(blob, layout)
    assert all(torch.equal(decoded[name], tensors[name]) for name in tensors)
    blob.zero_()
    assert not any(t.any() for t in decoded.values())


def test_the_dtype_by_its_own_name_is_native() -> None:
    tensors = specs(expert(16, 16, torch.bfloat16))
    quantizer = build(NoQuantizer())
    assert quantizer.layout(tensors, "bfloat16") == quantizer.layout(tensors, "native")


@pytest.mark.parametrize(("precision", "bits"), [("int8", 8 + 16 / 128), ("int4", 4.5), ("int2", 2.5)])
def test_bits_per_weight_count_scales_and_shifts(precision: str, bits: float) -> None:
    matrix = {"w": TensorSpec((4096, 128), "bfloat16")}
    assert build(QuantoQuantizer()).layout(matrix, precision).nbytes == 4096 * 128 * bits / 8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group_size", [64, 128])
@pytest.mark.parametrize("precision", LOSSY)
def test_decode_is_quantos_dequantize_bit_for_bit(
    dtype: torch.dtype, group_size: int, precision: str
) -> None:
    quantizer = build(QuantoQuantizer(group_size=group_size))
    tensors = {"w": expert(129, 128, dtype)["gate_up_proj"]}
    layout = quantizer.layout(specs(tensors), precision)
    blob = quantizer.encode(tensors, precision)
    parts = [
        blob[f.offset : f.offset + f.spec.nbytes].view(getattr(torch, f.spec.dtype)).view(f.spec.shape)
        for f in layout.fields
    ]
    weight, kind = tensors["w"], qtypes["q" + precision]
    if precision == "int8":
        theirs = WeightQBytesTensor(kind, 0, weight.shape, weight.stride(), *parts, None)
    else:
        groups = weight.numel() // group_size
        data = PackedTensor(parts[0], kind.bits, (groups, group_size), (group_size, 1))
        theirs = WeightQBitsTensor(kind, 0, group_size, weight.shape, weight.stride(), data, *parts[1:])
    assert torch.equal(quantizer.decode(blob, layout)["w"], theirs.dequantize())


@pytest.mark.parametrize("dtype", DTYPES)
def test_fewer_bits_err_more_and_hqq_errs_no_more_than_max(dtype: torch.dtype) -> None:
    tensors = expert(128, 128, dtype)
    by_search = {
        search: {p: error(build(QuantoQuantizer(optimizer=search)), tensors, p) for p in LOSSY}
        for search in ScaleSearch
    }
    for errors in by_search.values():
        assert 0 < errors["int8"] < errors["int4"] < errors["int2"]
    for precision in ("int4", "int2"):
        assert by_search[ScaleSearch.hqq][precision] <= by_search[ScaleSearch.max][precision]


@pytest.mark.parametrize("precision", LOSSY)
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_constant_weights_survive(precision: str, value: float) -> None:
    tensors = {"w": torch.full((64, 64), value, dtype=torch.bfloat16)}
    assert error(build(QuantoQuantizer()), tensors, precision) <= 0.002


def test_biases_stay_native() -> None:
    bias = torch.randn(64, dtype=torch.bfloat16)
    tensors = {"w": torch.randn(64, 64, dtype=torch.bfloat16), "bias": bias}
    quantizer = build(QuantoQuantizer())
    layout = quantizer.layout(specs(tensors), "int4")
    assert torch.equal(quantizer.decode(quantizer.encode(tensors, "int4"), layout)["bias"], bias)


def test_none_refuses_to_quantize() -> None:
    with pytest.raises(ConfigError, match=r"quantizer=none.*'int4'"):
        build(NoQuantizer()).layout({"w": TensorSpec((64, 64), "bfloat16")}, "int4")


def test_a_mistyped_precision_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'int4'"):
        build(QuantoQuantizer()).layout({"w": TensorSpec((64, 64), "bfloat16")}, "imt4")


@pytest.mark.parametrize("group_size", [0, -64, 64, 96])
def test_groups_must_divide_the_rows(group_size: int) -> None:
    quantizer = build(QuantoQuantizer(group_size=group_size))
    with pytest.raises(ConfigError, match=rf"group_size={group_size}.*\[64, 80\]"):
        quantizer.layout({"w": TensorSpec((64, 80), "bfloat16")}, "int2")
