"""Experts at every precision are right: against float32 maths on the dequantised weights, in every family."""

from __future__ import annotations

import pytest
import torch
from hobbit_devices.cpu import CpuDevice
from hobbit_quantizers.quanto import QuantoQuantizer
from torch import nn

from hobbit.engine.anatomy import MoELayer, find_layers
from tests.engine.families import FAMILIES, tiny_model
from tests.engine.runs import Policy, Run, running

TOKENS = 6
LIMITS = {torch.bfloat16: 1e-2, torch.float32: 1e-5}
"""Largest relative error of the output's norm."""

CASES = [(dtype, precision) for dtype in LIMITS for precision in ("native", "int8", "int4", "int2")]
CASES += [(torch.bfloat16, "lossless12")]


def in_float32(family: str, layer: MoELayer, run: Run) -> nn.Module:
    """transformers' own eager experts in float32, with the weights that the run's blobs decode to."""
    experts = find_layers(tiny_model(family, torch.float32))[layer.index].experts
    for index in range(layer.expert_count):
        for name, tensor in run.live.tensors(layer.index, index).items():
            experts.get_parameter(name).data[index] = tensor.float()
    return experts


@pytest.mark.parametrize(("dtype", "precision"), CASES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_outputs_are_those_of_the_dequantised_weights(
    family: str, dtype: torch.dtype, precision: str
) -> None:
    model = tiny_model(family, dtype)
    layer = find_layers(model)[-1]
    generator = torch.Generator().manual_seed(3)
    state = torch.randn(TOKENS, 64, generator=generator).to(dtype)
    index = torch.rand(TOKENS, layer.expert_count, generator=generator).topk(3).indices
    weights = torch.rand(TOKENS, 3, generator=generator).to(dtype)
    policy = Policy(quantizer=QuantoQuantizer(), device=CpuDevice(), high=precision)
    with running(model, policy, 16) as run:
        run.assembly.runtime.begin_pass(TOKENS, 0)
        served = layer.experts(state, index, weights)
        exact = in_float32(family, layer, run)(state.float(), index, weights.float())
    error = (served.float() - exact).norm() / exact.norm()
    assert error <= LIMITS[dtype], f"{family} at {precision}: {error:.2e}"
