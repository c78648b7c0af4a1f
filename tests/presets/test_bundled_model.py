"""Hint presets on the bundled model, with room for a third of its experts: the resident model's tokens."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from hobbit.config.compose import compose
from hobbit.engine.anatomy import find_layers
from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.geometry import measure_geometry
from hobbit.trace.past import bundled_past
from hobbit.trace.replay import future_of
from tests.engine.runs import continue_greedily
from tests.presets.test_lossless import PRESETS, session_of, setup_of

TEXT = "It was the best of times, it was the worst of times, and nobody could say which of the two would"
GENERATED = 12
SLOTS = 85


@cache
def checkpoint():  # type: ignore[no-untyped-def]
    return load_checkpoint(compose(["policy=on_demand"]).model.location)


def prompt() -> tuple[torch.Tensor, torch.Tensor]:
    ids = checkpoint()[1](TEXT, return_tensors="pt")["input_ids"]
    return ids, torch.ones_like(ids)


@cache
def resident() -> tuple[torch.Tensor, ...]:
    """Tokens and logits of transformers' own run."""
    return tuple(continue_greedily(checkpoint()[0], *prompt(), GENERATED))


@pytest.mark.parametrize("preset", PRESETS)
def test_tokens_and_logits_are_the_resident_models(preset: str) -> None:
    expected = resident()
    model = checkpoint()[0]
    geometry = measure_geometry(model, find_layers(model), "bundled")
    future = None
    if setup_of(preset, geometry, SLOTS).needs_future:
        with session_of(model, setup_of("on_demand", geometry, SLOTS), record=True) as session:
            continue_greedily(model, *prompt(), GENERATED)
            assert session.recorder is not None
            future = future_of(session.recorder.trace())
    with session_of(model, setup_of(preset, geometry, SLOTS), future=future, past=bundled_past) as session:
        served = continue_greedily(model, *prompt(), GENERATED)
        decode = session.assembly.metrics.decode
    assert all(torch.equal(a, b) for a, b in zip(expected, served, strict=True))
    if preset != "all_resident":
        assert decode.misses[0] + decode.hosted + sum(decode.prefetches) > 0
