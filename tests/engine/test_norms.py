"""Fused norms give what the model's own give, and are put in only where they do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hobbit.engine.norms import FusedNorms
from tests.engine.models import FAMILIES, tiny_model


class ShiftedRMSNorm(nn.Module):
    """A norm of another kind, by its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(64))
        self.eps = 1e-6

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        return state * torch.rsqrt(state.pow(2).mean(-1, keepdim=True) + self.eps) * (1 + self.weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_model_with_fused_norms_gives_the_same_logits(family: str, dtype: torch.dtype) -> None:
    model = tiny_model(family, dtype)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(3))
    ids = torch.arange(2, 20)[None]
    expected = model(ids).logits
    norms = FusedNorms(model)
    tolerance = 1e-4 if dtype is torch.float32 else 0.1
    torch.testing.assert_close(model(ids).logits, expected, rtol=tolerance, atol=tolerance)
    named = [module for module in model.modules() if type(module).__name__.endswith("RMSNorm")]
    assert norms.count == len(named)
    norms.remove()
    assert torch.equal(model(ids).logits, expected)
    assert not any("forward" in vars(module) for module in model.modules())


def test_a_norm_that_answers_otherwise_is_left_alone() -> None:
    model = tiny_model()
    model.shifted = ShiftedRMSNorm()
    FusedNorms(model)
    assert "forward" not in vars(model.shifted)
