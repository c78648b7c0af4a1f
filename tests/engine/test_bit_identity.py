"""Whoever serves the experts, a lossless run gives the bits of transformers' eager experts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hobbit_baselines.lfu import LfuComponent
from hobbit_baselines.lru import LruComponent
from hobbit_baselines.next_gate import NextGateComponent
from hobbit_baselines.no_cache import NoCacheComponent
from hobbit_baselines.resident import ResidentComponent
from hobbit_paper.mixed_precision import MixedPrecisionComponent
from hobbit_paper.multidim import MultidimComponent
from hobbit_paper.stacked_gate import StackedGateComponent

import hobbit
from hobbit.engine.attachment import Attachment
from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.resident import ResidentServer
from hobbit.engine.weights import expert_tensors
from tests.engine.models import FAMILIES, tiny_model
from tests.engine.runs import Policy, continue_greedily, prompts, running

BUNDLED = Path(hobbit.__file__).parent / "bundled" / "model"

LOSSLESS = {
    "on_demand": Policy(cache=NoCacheComponent()),
    "lru": Policy(),
    "lru_per_layer": Policy(cache=LruComponent(per_layer=True)),
    "lfu": Policy(cache=LfuComponent()),
    "all_resident": Policy(cache=ResidentComponent()),
    "mixtral_offloading": Policy(prefetcher=NextGateComponent()),
    "hobbit_t1_1": Policy(MixedPrecisionComponent(t1=1.0), StackedGateComponent(), MultidimComponent()),
}

SLOTS = {"below one token's working set": 6, "half": 16, "everything": 40}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch", [1, 3])
def test_own_weights_served_one_by_one(family: str, dtype: torch.dtype, batch: int) -> None:
    model = tiny_model(family, dtype)
    ids, mask = prompts(batch, 40)
    expected = continue_greedily(model, ids, mask, 12)
    with Attachment(model, ResidentServer(lambda layer, expert: own[layer][expert]), None) as attachment:
        own = [[expert_tensors(layer, e) for e in range(layer.expert_count)] for layer in attachment.layers]
        served = continue_greedily(model, ids, mask, 12)
    assert all(torch.equal(a, b) for a, b in zip(expected, served, strict=True))


@pytest.mark.parametrize("slots", SLOTS.values(), ids=SLOTS)
@pytest.mark.parametrize("policy", LOSSLESS.values(), ids=LOSSLESS)
def test_lossless_policies(policy: Policy, slots: int) -> None:
    model = tiny_model()
    ids, mask = prompts(1, 200)
    expected = continue_greedily(model, ids, mask, 64)
    with running(model, policy, slots):
        served = continue_greedily(model, ids, mask, 64)
    assert all(torch.equal(a, b) for a, b in zip(expected, served, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_families_through_the_runtime_with_padded_batches(family: str) -> None:
    model = tiny_model(family)
    ids, mask = prompts(3, 40)
    expected = continue_greedily(model, ids, mask, 12)
    policy = LOSSLESS["hobbit_t1_1"]
    with running(model, policy, 8):
        served = continue_greedily(model, ids, mask, 12)
    assert all(torch.equal(a, b) for a, b in zip(expected, served, strict=True))


@pytest.mark.skipif(not (BUNDLED / "config.json").is_file(), reason="the bundled model is not here")
def test_bundled_model() -> None:
    model, _ = load_checkpoint(BUNDLED)
    ids, mask = prompts(1, 200)
    expected = continue_greedily(model, ids, mask, 16)
    with running(model, LOSSLESS["hobbit_t1_1"], 48):
        served = continue_greedily(model, ids, mask, 16)
    assert all(torch.equal(a, b) for a, b in zip(expected, served, strict=True))
