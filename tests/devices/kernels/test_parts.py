"""A part of an expert's hidden units, and blobs in memory that was not cut into slots."""

from __future__ import annotations

import pytest
import torch
from hobbit_devices.kernels import Kernels
from hobbit_devices.kernels.reference import ReferenceKernels, decode
from torch.nn.functional import linear, silu

from tests.devices.kernels.slots import (
    DEVICE,
    FORMATS,
    NEEDS_TRITON,
    TOLERANCE,
    Experts,
    error,
    formats,
    indices,
    poisoned,
)

SHAPES = [(128, 256, 64), (96, 160, 32), (256, 384, 128)]
"""(d, F, group): the first has whole blocks of columns."""

ON_TRITON = pytest.param("triton", marks=[pytest.mark.gpu, NEEDS_TRITON])


def kernels_of(experts: Experts, kind: str) -> Kernels:
    found: Kernels = getattr(experts, kind)
    return found


def before(experts: Experts, slot: int, x: torch.Tensor, first: int) -> torch.Tensor:
    """What the hidden units before `first` give, in float64, for x [1, d]."""
    format, dtype = experts.plain.format, getattr(torch, experts.dtype)
    up, down = (decode(experts.pool[slot], m, dtype, torch.float64) for m in (format.up, format.down))
    gate, up = up.view(2, experts.ffn, experts.hidden)[:, :first].double()
    return linear(silu(linear(x.double(), gate)) * linear(x.double(), up), down[:, :first].double())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("precision", "dtype"),
    [combination for combination in formats("bfloat16", "float16", "float32") if combination[0] != "int2"],
)
@pytest.mark.parametrize("kind", [ON_TRITON, "exact"])
def test_the_parts_of_an_expert_add_up(
    kind: str, dtype: str, precision: str, shape: tuple[int, int, int]
) -> None:
    experts = Experts(precision, dtype, *shape)
    x, kernels = experts.tokens(2), kernels_of(experts, kind)
    whole = poisoned(1, experts.hidden, torch.float64)
    experts.exact.run(x, indices(3), indices(1), whole)
    units = range(0, experts.ffn, kernels.cut)
    for first in (units[1], units[len(units) // 2], units[-1]):
        found = poisoned(2, experts.hidden)
        kernels.run(x, indices(3, -1), indices(1, 0), found, first)
        assert error(found[:1], whole - before(experts, 3, x[1:], first)) < TOLERANCE[dtype]
        assert found[1].isnan().all()


@pytest.mark.parametrize("kind", [ON_TRITON, "plain"])
@pytest.mark.parametrize(
    ("precision", "cut"), [("native", 16), ("int8", 16), ("int4", 64), ("int2", 0), ("lossless12", 32)]
)
def test_a_cut_keeps_groups_and_loads_whole(precision: str, cut: int, kind: str) -> None:
    assert kernels_of(Experts(precision, group=64), kind).cut == cut


@pytest.mark.parametrize("kind", [ON_TRITON, "plain"])
@pytest.mark.parametrize("precision", FORMATS)
def test_blobs_may_lie_anywhere_in_flat_memory(precision: str, kind: str) -> None:
    experts = Experts(precision, "bfloat16" if precision == "lossless12" else "float16")
    nbytes = experts.layout.nbytes
    flat = torch.full((5 * nbytes // 64 * 64,), 255, dtype=torch.uint8, device=DEVICE)
    starts = [64 * odd for odd in (1, 3 + nbytes // 64 // 2 * 2, 5 + 2 * (nbytes // 64) // 2 * 2)]
    for slot, start in enumerate(starts):
        flat[start : start + nbytes] = experts.pool[slot]
    pool = flat.view(-1, 64)
    if kind == "triton":
        scattered: Kernels = experts.triton_on(pool)
    else:
        scattered = ReferenceKernels(experts.layout, pool)
    x, tokens = experts.tokens(1), indices(0, 0, 0)
    expected, found = poisoned(3, experts.hidden), poisoned(3, experts.hidden)
    kernels_of(experts, kind).run(x, indices(0, 1, 2), tokens, expected)
    scattered.run(x, indices(*(start // 64 for start in starts)), tokens, found)
    assert torch.equal(found, expected)


def test_a_part_of_slots_with_gaps_is_read_where_it_lies() -> None:
    experts = Experts("int4")
    padded = torch.zeros((6, experts.layout.nbytes + 192), dtype=torch.uint8, device=DEVICE)
    padded[:, : experts.layout.nbytes] = experts.pool
    x, first = experts.tokens(1), experts.plain.cut
    expected, found = poisoned(1, experts.hidden), poisoned(1, experts.hidden)
    experts.plain.run(x, indices(4), indices(0), expected, first)
    pool = padded[1:, : experts.layout.nbytes]
    kernels = ReferenceKernels(experts.layout, pool)
    kernels.run(x, indices(3), indices(0), found, first)
    assert torch.equal(found, expected)
