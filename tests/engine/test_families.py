"""Every family of the list: saved, loaded, served in part from memory, and right to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.routing import resident_routing
from tests.engine.families import FAMILIES, tiny_checkpoint, tiny_model
from tests.engine.runs import prompts


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_loads_as_it_was_saved(family: str, tmp_path: Path) -> None:
    model, _ = load_checkpoint(tiny_checkpoint(family, tmp_path, shard="200KB"))
    ids, mask = prompts(2, 30)
    with torch.no_grad():
        saved = tiny_model(family)(ids, attention_mask=mask).logits
        assert torch.equal(model(ids, attention_mask=mask).logits, saved)


@pytest.mark.parametrize("family", FAMILIES)
def test_routing_uses_most_experts_unevenly(family: str) -> None:
    """Else nothing that follows would prove anything."""
    trace = resident_routing(tiny_model(family), prompts(1, 40)[0][0].tolist())
    for routing in trace.routings(next(trace.passes())):
        uses = np.bincount(routing.experts.ravel())
        assert np.count_nonzero(uses) >= 8  # of at most 16
        assert uses.max() >= 1.5 * uses.min()
