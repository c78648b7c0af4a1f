"""Lossless presets at lossless12 give the bits of the resident model, in three quarters of the bytes."""

from __future__ import annotations

import pytest
import torch

from hobbit.engine.anatomy import find_layers
from hobbit.engine.geometry import measure_geometry
from tests.engine.models import tiny_model
from tests.engine.runs import continue_greedily, prompts
from tests.presets.test_lossless import GENERATED, PROMPT, session_of, setup_of

PRESETS = ["all_resident", "on_demand", "lru", "hobbit_lossless", "moe_infinity", "edgemoe"]
"""Those that run misses on the host take its own products of packed weights."""


@pytest.mark.parametrize("preset", PRESETS)
def test_tokens_and_logits_are_bit_identical(preset: str) -> None:
    model = tiny_model()
    geometry = measure_geometry(model, find_layers(model), "tiny")
    ids, mask = prompts(1, PROMPT)
    expected = continue_greedily(model, ids, mask, GENERATED)
    setup = setup_of(preset, geometry, 16)
    setup.precision.high = "lossless12"
    with session_of(model, setup) as session:
        served = continue_greedily(model, ids, mask, GENERATED)
        assert session.assembly.precisions == ("lossless12",)
        assert not session.assembly.runtime.loader.levels > 1
    assert all(torch.equal(a, b) for a, b in zip(expected, served, strict=True))


def test_the_model_is_given_back_bit_for_bit() -> None:
    model = tiny_model()
    geometry = measure_geometry(model, find_layers(model), "tiny")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    setup = setup_of("hobbit", geometry, 16)
    setup.precision.high, setup.quantizer.group_size = "lossless12", 16  # type: ignore[attr-defined]
    session = session_of(model, setup)
    assert session.assembly.precisions == ("lossless12", "int4")
    assert session.attachment.layers[0].experts.get_parameter("down_proj").numel() == 0
    assert session.close()
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
