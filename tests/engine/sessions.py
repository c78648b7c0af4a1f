"""Sessions of tiny models with memory for a share of their experts."""

from __future__ import annotations

from transformers import PreTrainedModel

from hobbit.config.compose import compose
from hobbit.engine.anatomy import find_layers
from hobbit.engine.geometry import measure_geometry
from hobbit.engine.session import Session, open_session
from tests.engine.texts import letters

PROMPT, GENERATED = 40, 32
"""Tokens of a prompt, and tokens that follow it."""


def session_of(
    model: PreTrainedModel, policy: str, share: float, batch: int, *words: str, device: str = "cpu"
) -> Session:
    """`model` under a preset, with memory for a share of its experts at their own dtype."""
    setup = compose([f"policy={policy}", f"device={device}", "precision=native", *words]).setup()
    geometry = measure_geometry(model, find_layers(model), "tiny")
    experts = int(share * geometry.layers * geometry.experts) * geometry.expert_values * geometry.item_bytes
    tokens = batch * (PROMPT + GENERATED)
    setup.memory.device = str(geometry.non_expert_bytes + tokens * geometry.kv_bytes_per_token + experts)
    return open_session(model, letters(), setup, name="tiny", tokens=tokens)
