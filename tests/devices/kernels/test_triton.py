"""Triton's kernels against the exact product, in float64: on a GPU, else in Triton's interpreter."""

from __future__ import annotations

import itertools

import pytest
import torch
from hobbit_devices.kernels.reference import decode

from benchmarks.kernels.blobs import quantizer_of
from hobbit.api import Geometry
from tests.devices.kernels.slots import (
    DEVICE,
    FORMATS,
    NEEDS_TRITON,
    ON_GPU,
    TOLERANCE,
    Experts,
    error,
    formats,
    indices,
    poisoned,
)

pytestmark = [pytest.mark.gpu, NEEDS_TRITON]

DTYPES = ("bfloat16", "float16", "float32") if ON_GPU else ("float16", "float32")
"""The interpreter computes with bfloat16 as if it were integers: lossless12 computes in float32."""

SHAPES = [(128, 192, 64), (96, 160, 32), (256, 384, 128)]
"""(d, F, group): F is no multiple of the blocks of rows, d and F not always of those of columns."""


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("precision", "dtype"), formats(*DTYPES))
def test_pairs_are_exact_within_the_dtype(dtype: str, precision: str, shape: tuple[int, int, int]) -> None:
    experts = Experts(precision, dtype, *shape)
    x = experts.tokens(2)
    slots, tokens = indices(3, 0, -1), indices(1, 0, 0)
    found, exact = poisoned(3, experts.hidden), poisoned(3, experts.hidden, torch.float64)
    experts.triton.run(x, slots, tokens, found)
    experts.exact.run(x, slots, tokens, exact)
    assert error(found[:2], exact[:2]) < TOLERANCE[dtype]
    assert found[2].isnan().all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("precision", "dtype"), formats(*DTYPES))
def test_groups_are_exact_within_the_dtype(dtype: str, precision: str, shape: tuple[int, int, int]) -> None:
    experts = Experts(precision, dtype, *shape)
    x = experts.tokens(8)
    # A group of more than one tile, an empty one, one left alone, one of a single pair.
    slots, offsets = indices(5, 1, -1, 0), indices(0, 19, 19, 21, 22)
    tokens = torch.arange(22, dtype=torch.int32, device=DEVICE) % 8
    found, exact = poisoned(22, experts.hidden), poisoned(22, experts.hidden, torch.float64)
    experts.triton.run_grouped(x, slots, offsets, tokens, found)
    experts.exact.run_grouped(x, slots, offsets, tokens, exact)
    served = [*range(19), 21]
    assert error(found[served], exact[served]) < TOLERANCE[dtype]
    assert found[19:21].isnan().all()


def of_strays(experts: Experts) -> torch.Tensor:
    """A blob whose rows 3 and F + 3 of up and 5 and 9 of down are strays beside one weight of 2^12."""
    generator = torch.Generator().manual_seed(11)
    tensors = {
        name: (torch.randn(spec.shape, generator=generator) * 0.05).bfloat16()
        for name, spec in experts.layout.tensors
    }
    up, down = tensors.values()
    for matrix, row, count in ((up, 3, 20), (up, experts.ffn + 3, 9), (down, 5, 23), (down, 9, 2)):
        matrix[row, 1:-count] = 0
        matrix[row, 0] = 4096
    up[0] = 0  # so that the unit of the large weight is nothing
    geometry = Geometry(hidden=experts.hidden, ffn=experts.ffn)
    return quantizer_of(geometry, "lossless12").encode(tensors, "lossless12").to(DEVICE)


@pytest.mark.parametrize("kind", ["pairs", "part", "groups"])
def test_strays_count_like_other_weights(kind: str) -> None:
    """The large weights of their rows meet zeros, so that strays are all there is."""
    experts = Experts("lossless12")
    experts.pool[4] = of_strays(experts)
    x = experts.tokens(5)
    x[:, 0] = 0
    found, exact = poisoned(5, experts.hidden), poisoned(5, experts.hidden, torch.float64)
    slots, tokens = indices(4, 4, 4, 4, 4), indices(0, 1, 2, 3, 4)
    first = experts.plain.cut * 4 if kind == "part" else 0
    for kernels, out in ((experts.triton, found), (experts.exact, exact)):
        if kind == "groups":
            kernels.run_grouped(x, slots[:1], indices(0, 5), tokens, out)
        else:
            kernels.run(x, slots, tokens, out, first)
    assert error(found, exact) < TOLERANCE["bfloat16"]
    for row in (5,) if first else (5, 9):
        assert error(found[:, row], exact[:, row]) < TOLERANCE["bfloat16"]


def test_a_product_of_lossless_weights_rounds_nothing_but_its_sums() -> None:
    experts = Experts("lossless12")
    h = torch.randn(2, experts.ffn, generator=torch.Generator().manual_seed(2)).bfloat16().to(DEVICE)
    found = poisoned(2, experts.hidden)
    experts.triton.down(h, indices(2, 5), found)
    for slot, state, out in zip((2, 5), h, found, strict=True):
        weights = decode(experts.pool[slot], experts.plain.format.down, torch.bfloat16, torch.float64)
        assert error(out, weights @ state.double()) < 5e-7


@pytest.mark.skipif(not ON_GPU, reason="needs a GPU: the interpreter takes minutes")
@pytest.mark.parametrize("tokens", [64, 511, 600])
@pytest.mark.parametrize("precision", FORMATS)
def test_groups_of_many_tokens(precision: str, tokens: int) -> None:
    experts = Experts(precision)
    x = experts.tokens(tokens)
    slots, offsets, order = indices(4, 2), indices(0, 200, 200 + tokens), torch.arange(200 + tokens)
    order = (order % tokens).int().to(DEVICE)
    found, exact = (poisoned(200 + tokens, experts.hidden, t) for t in (torch.float32, torch.float64))
    experts.triton.run_grouped(x, slots, offsets, order, found)
    experts.exact.run_grouped(x, slots, offsets, order, exact)
    assert error(found, exact) < TOLERANCE["bfloat16"]


@pytest.mark.parametrize("activation", ["gelu", "gelu_pytorch_tanh", "relu"])
def test_other_activations(activation: str) -> None:
    experts = Experts("native", "float32", activation=activation)
    x = experts.tokens(1)
    found, exact = poisoned(1, experts.hidden), poisoned(1, experts.hidden, torch.float64)
    experts.triton.run(x, indices(2), indices(0), found)
    experts.exact.run(x, indices(2), indices(0), exact)
    assert error(found, exact) < TOLERANCE["float32"]


@pytest.mark.parametrize("precision", FORMATS)
@pytest.mark.parametrize("grouped", [False, True], ids=["pairs", "groups"])
def test_a_layer_in_two_calls_has_the_bits_of_one(precision: str, grouped: bool) -> None:
    experts = Experts(precision, "bfloat16" if precision == "lossless12" else "float16")
    kernels, x = experts.triton, experts.tokens(3)
    slots, tokens = indices(0, 1, 2, 3, 4), indices(0, 0, 1, 1, 2)
    whole, parts = poisoned(5, experts.hidden), poisoned(5, experts.hidden)
    for out, cuts in ((whole, [0, 5]), (parts, [0, 1, 5])):
        for start, stop in itertools.pairwise(cuts):
            few, their, here = slots[start:stop], tokens[start:stop], out[start:stop]
            if grouped:
                bounds = torch.arange(stop - start + 1, dtype=torch.int32, device=DEVICE)
                kernels.run_grouped(x, few, bounds, their, here)
            else:
                kernels.run(x, few, their, here)
    assert torch.equal(whole, parts)


@pytest.mark.parametrize("choices", [1, 2, 3, 8])
def test_sums_equal_the_reference(choices: int) -> None:
    experts = Experts("native", "float32", hidden=80)
    generator = torch.Generator().manual_seed(choices)
    out = torch.randn(3 * choices, 80, generator=generator).to(DEVICE)
    weights = torch.rand(3, choices, generator=generator).to(DEVICE)
    chosen = torch.stack([torch.randperm(16, generator=generator)[:choices] for _ in range(3)]).to(DEVICE)
    rows = torch.randperm(3 * choices, generator=generator).view(3, choices).int().to(DEVICE)
    rows[1, choices // 2] = -1
    out[rows[1, 0].clamp(min=0)] *= 1e4  # so that another order would give other bits
    found, expected = poisoned(3, 80), poisoned(3, 80)
    experts.triton.combine(out, weights, chosen, rows, found)
    experts.plain.combine(out, weights, chosen, rows, expected)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(not ON_GPU, reason="needs a GPU")
@pytest.mark.parametrize("precision", FORMATS)
def test_a_captured_graph_follows_its_indices(precision: str) -> None:
    experts = Experts(precision, hidden=256, ffn=512)
    kernels, x = experts.triton, experts.tokens(1)
    slots, tokens, out = indices(0, 1), indices(0, 0), poisoned(2, 256)
    kernels.run(x, slots, tokens, out)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kernels.run(x, slots, tokens, out)
    slots.copy_(indices(4, 3))
    out.fill_(float("nan"))
    graph.replay()
    exact = poisoned(2, 256, torch.float64)
    experts.exact.run(x, slots, tokens, exact)
    assert error(out, exact) < TOLERANCE["bfloat16"]
