"""Encoding chunk by chunk gives what quanto makes of the whole matrix, and uses no weights up."""

from __future__ import annotations

import pytest
import torch
from hobbit_quantizers.chunks import chunks
from hobbit_quantizers.grouped import GroupedFormat, ScaleSearch
from hobbit_quantizers.int8 import Int8Format
from hypothesis import given
from hypothesis import strategies as st
from optimum.quanto import AbsmaxOptimizer, MaxOptimizer, qint8, qtypes
from optimum.quanto.tensor.packed import pack_weights

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
CHUNK = 2**18


def matrix(rows: int, columns: int, dtype: torch.dtype) -> torch.Tensor:
    weights = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0)).to(dtype)
    weights[0] = 0  # neither a range nor a largest value
    return weights


@given(rows=st.integers(1, 20), columns=st.sampled_from([CHUNK, CHUNK // 2, CHUNK // 5, 2 * CHUNK]))
def test_chunks_cover_the_rows_and_none_is_a_single_one(rows: int, columns: int) -> None:
    parts = list(chunks(torch.empty(1).expand(rows, columns)))
    assert [row for part in parts for row in range(rows)[part]] == list(range(rows))
    assert rows == 1 or all(part.stop - part.start > 1 for part in parts)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", [4, 2])
def test_groups_are_those_of_the_whole_matrix(bits: int, dtype: torch.dtype) -> None:
    weights = matrix(CHUNK // 64 + 1, 128, dtype)
    kept, base = weights.clone(), weights.float().reshape(-1, 64)
    found = GroupedFormat(bits, 64, ScaleSearch.max).encode(weights)
    scale, shift = (part.to(dtype) for part in MaxOptimizer()(base, qtypes[f"qint{bits}"], axis=0))
    scale = scale.clamp(min=torch.finfo(dtype).tiny)
    data = torch.ops.quanto.quantize_affine(
        base, bits=bits, axis=0, group_size=None, scale=scale.float(), shift=shift.float()
    )
    for part, expected in zip(found, (pack_weights(data, bits), scale, shift), strict=True):
        assert torch.equal(part, expected)
    assert torch.equal(weights, kept)


@pytest.mark.parametrize("dtype", DTYPES)
def test_channels_are_those_of_the_whole_matrix(dtype: torch.dtype) -> None:
    weights = matrix(5, CHUNK // 2, dtype)
    kept, base = weights.clone(), weights.float()
    data, scale = Int8Format().encode(weights)
    expected = AbsmaxOptimizer()(base, qint8, axis=0).to(dtype).clamp(min=torch.finfo(dtype).tiny)
    assert torch.equal(scale, expected)
    assert torch.equal(
        data, torch.ops.quanto.quantize_symmetric(base, dtype=torch.int8, axis=0, scale=expected.float())
    )
    assert torch.equal(weights, kept)
