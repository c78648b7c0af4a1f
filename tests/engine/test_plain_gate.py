"""Which experts a kernel may run: where a gate is named, the plain formula gives eager's values."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear, silu

from hobbit.engine.anatomy import find_layers
from hobbit.engine.families import ExpertTraits
from hobbit.engine.maths import ExpertMaths
from hobbit.engine.plain_gate import plain_activation
from hobbit.engine.weights import expert_tensors
from tests.engine.models import FAMILIES, tiny_model


@pytest.mark.parametrize("family", FAMILIES)
def test_the_plain_formula_is_the_experts_own(family: str) -> None:
    layer = find_layers(tiny_model(family))[0]
    maths = ExpertMaths(layer)
    assert maths.activation == "silu"
    tensors = expert_tensors(layer, 2)
    state = torch.randn(3, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    gate, up = linear(state, tensors["gate_up_proj"]).chunk(2, dim=-1)
    with torch.no_grad():
        assert torch.equal(maths(state, tensors), linear(silu(gate) * up, tensors["down_proj"]))


@pytest.mark.parametrize(
    ("name", "value"),
    [("has_bias", True), ("is_transposed", True), ("has_gate", False), ("is_concatenated", False),
     ("has_post_expert_norm", True), ("act_fn", torch.nn.GELU()), ("_apply_gate", lambda self, x: x)],
)  # fmt: skip
def test_other_maths_is_left_to_the_family(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    experts = find_layers(tiny_model())[0].experts
    owner = type(experts) if name == "_apply_gate" else experts
    monkeypatch.setattr(owner, name, value)
    assert plain_activation(experts, ExpertTraits.of(experts)) is None
