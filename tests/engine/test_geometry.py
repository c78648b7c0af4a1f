"""The measured geometry accounts for every weight of the model."""

from __future__ import annotations

import pytest
import torch

from hobbit.engine.anatomy import find_layers
from hobbit.engine.geometry import measure_geometry
from hobbit.errors import ModelError
from tests.engine.models import FAMILIES, tiny_model


@pytest.mark.parametrize("family", FAMILIES)
def test_bytes_are_those_of_the_model(family: str) -> None:
    model = tiny_model(family)
    layers = find_layers(model)
    geometry = measure_geometry(model, layers, family)
    experts = sum(p.numel() for layer in layers for p in layer.experts.parameters())
    rest = sum(p.numel() for p in model.parameters()) - experts
    assert geometry.layers * geometry.experts * geometry.expert_values == experts
    assert geometry.non_expert_bytes == pytest.approx(rest * geometry.item_bytes, rel=0.002)
    assert geometry.top_k == model.config.num_experts_per_tok


def test_plain_attention_counts_its_four_matrices() -> None:
    model = tiny_model("mixtral")
    geometry = measure_geometry(model, find_layers(model), "mixtral")
    assert geometry.attention_weights == 2 * 64 * (4 + 2) * 16  # q and o of 4 heads, k and v of 2


def test_dense_layers_are_told_apart() -> None:
    model = tiny_model("qwen3_moe")
    geometry = measure_geometry(model, find_layers(model), "qwen3_moe")
    assert (geometry.layers, geometry.dense_layers, geometry.dense_ffn) == (3, 1, 48)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int8, torch.uint8, torch.float64])
def test_experts_that_are_no_plain_weights_are_refused(dtype: torch.dtype) -> None:
    model = tiny_model("mixtral")
    layers = find_layers(model)
    for name in layers[0].traits.names:
        parameter = layers[0].experts.get_parameter(name).requires_grad_(False)
        parameter.data = parameter.data.to(dtype)
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(ModelError, match=f"stored as {name}; load them as one of float32, float16, bfloat16"):
        measure_geometry(model, layers, "mixtral")
