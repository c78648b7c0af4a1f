"""Lossless presets give the bits of transformers' eager experts, at every memory budget."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from hobbit.api import Geometry
from hobbit.config.compose import compose
from hobbit.engine.anatomy import find_layers
from hobbit.engine.geometry import measure_geometry
from hobbit.engine.session import Session, open_session
from hobbit.setup import Setup
from hobbit.trace import RoutingStatistics, generate
from hobbit.trace.past import past_requests
from hobbit.trace.replay import future_of
from tests.engine.models import tiny_model
from tests.engine.runs import continue_greedily, prompts

PRESETS = [
    "all_resident", "on_demand", "lru", "lfu", "mixtral_offloading", "belady", "hobbit_lossless", "fiddler",
    "llama_cpp", "accelerate", "freetoken", "moe_infinity", "edgemoe", "readme", "fate",
    "shared",
]  # fmt: skip
APART = ("llama_cpp", "freetoken", "shared")
"""They run misses on the host only where its memory is not the device's."""

SLOTS = {"below one token's working set": 7, "about half": 16, "everything": 40}
PROMPT, GENERATED = 200, 64
STATISTICS = RoutingStatistics((0.3,), (0.5,), 0.7, (0.9,))
"""Of the past that some prefetchers learn from, wrong as it is for this model."""


def setup_of(preset: str, geometry: Geometry, slots: int) -> Setup:
    """A preset on the CPU with room for so many experts, staging included."""
    unified = str(preset not in APART).lower()
    words = [f"policy={preset}", "device=cpu", f"device.unified={unified}", "precision=native"]
    setup = compose(words).setup()
    experts = slots * geometry.expert_values * geometry.item_bytes
    kv = (PROMPT + GENERATED) * geometry.kv_bytes_per_token
    setup.memory.device = str(geometry.non_expert_bytes + kv + experts)
    return setup


def session_of(model, setup: Setup, **options) -> Session:  # type: ignore[no-untyped-def]
    return open_session(model, None, setup, name="tiny", tokens=PROMPT + GENERATED, **options)


@pytest.mark.parametrize("slots", SLOTS.values(), ids=SLOTS)
@pytest.mark.parametrize("preset", PRESETS)
def test_tokens_and_logits_are_bit_identical(preset: str, slots: int) -> None:
    model = tiny_model()
    geometry = measure_geometry(model, find_layers(model), "tiny")
    ids, mask = prompts(1, PROMPT)
    expected = continue_greedily(model, ids, mask, GENERATED)
    future = None
    if setup_of(preset, geometry, slots).needs_future:
        with session_of(model, setup_of("on_demand", geometry, slots), record=True) as session:
            continue_greedily(model, ids, mask, GENERATED)
            assert session.recorder is not None
            future = future_of(session.recorder.trace())
    past = partial(past_requests, generate(geometry.shape, STATISTICS, ((16, 16),)))
    with session_of(model, setup_of(preset, geometry, slots), future=future, past=past) as session:
        served = continue_greedily(model, ids, mask, GENERATED)
        decode = session.assembly.metrics.decode
    assert all(torch.equal(a, b) for a, b in zip(expected, served, strict=True))
    assert decode.tokens == GENERATED - 1
    if slots == SLOTS["below one token's working set"] and preset != "all_resident":
        assert decode.misses[0] + decode.hosted > 0, "a budget below the working set must miss"
