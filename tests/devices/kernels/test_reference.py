"""The torch form of the kernels: decoded as the quantizer decodes, computed as transformers computes."""

from __future__ import annotations

import pytest
import torch
from hobbit_devices.kernels.reference import decode
from torch.nn.functional import linear, silu

from benchmarks.kernels.blobs import quantizer_of
from hobbit.api import Geometry
from tests.devices.kernels.slots import DEVICE, FORMATS, Experts, error, formats, indices, poisoned


@pytest.mark.parametrize(("precision", "dtype"), formats("bfloat16", "float16", "float32"))
def test_decoding_is_the_quantizers_bit_for_bit(precision: str, dtype: str) -> None:
    experts = Experts(precision, dtype, hidden=64, ffn=96, group=32)
    geometry = Geometry(hidden=64, ffn=96, dtype=dtype)
    expected = quantizer_of(geometry, precision, group_size=32).decode(experts.pool[2], experts.layout)
    format = experts.plain.format
    for name, matrix in (("gate_up_proj", format.up), ("down_proj", format.down)):
        found = decode(experts.pool[2], matrix, getattr(torch, dtype))
        assert torch.equal(found.view(torch.uint8), expected[name].view(torch.uint8))  # -0 is not 0


@pytest.mark.parametrize("precision", FORMATS)
def test_pairs_and_groups_give_what_the_expert_gives(precision: str) -> None:
    experts = Experts(precision)
    x = experts.tokens(3)
    format = experts.plain.format
    blob = experts.pool[4]
    gate, up = linear(x, decode(blob, format.up, x.dtype)).chunk(2, dim=-1)
    expected = linear(silu(gate) * up, decode(blob, format.down, x.dtype))
    grouped = poisoned(5, experts.hidden, x.dtype)
    slots, offsets, tokens = indices(4, -1, 0), indices(0, 3, 5, 5), indices(0, 1, 2, 0, 1)
    experts.plain.run_grouped(x, slots, offsets, tokens, grouped)
    assert torch.equal(grouped[:3], expected)
    assert grouped[3:].isnan().all()
    single = poisoned(3, experts.hidden, x.dtype)
    experts.plain.run(x, indices(4, -1, 4), indices(0, 1, 2), single)
    assert error(single[[0, 2]], expected[[0, 2]]) < 5e-3
    assert single[1].isnan().all()


def test_sums_are_weighted_in_order_and_skip_negative_rows() -> None:
    out = torch.arange(12, dtype=torch.float32, device=DEVICE).view(3, 4)
    weights = torch.tensor([[0.5, 0.25], [1.0, 2.0]], device=DEVICE)
    final = poisoned(2, 4)
    experts = torch.tensor([[7, 3], [1, 5]], device=DEVICE)
    rows = torch.tensor([[0, 2], [-1, 1]], dtype=torch.int32, device=DEVICE)
    Experts("native").plain.combine(out, weights, experts, rows, final)
    assert torch.equal(final, torch.stack([0.25 * out[2] + 0.5 * out[0], 2 * out[1]]))
