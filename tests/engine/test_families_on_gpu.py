"""Every family of the list on a real GPU: lossless presets, whatever the batch and the KV cache.

The engine's kernels add up in another order than transformers does. In bfloat16 that turns a token or a
router's choice now and then, so there the run with every expert resident, which has the same kernels, is what
must come out to the bit, and it must be as near to exact arithmetic as transformers is. In float32 rounding
turns nothing, and transformers on the same GPU gives the tokens.
"""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from transformers import PreTrainedModel

from hobbit.engine.attachment import UNREADABLE
from tests.engine.families import FAMILIES, tiny_model
from tests.engine.runs import continue_greedily, prompts
from tests.engine.sessions import PROMPT, session_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible"),
]

GENERATED = 8
MOST = 3
"""Sequences of the larger batch; all but one are padded on the left."""

EVERY = [(1, "dynamic"), (MOST, "dynamic"), (1, "static"), (MOST, "static")]
PRESETS = {"hobbit_lossless": EVERY, "lru": EVERY[1:3], "mixtral_offloading": EVERY[1:3]}
"""Batches and KV caches that are tried with each preset."""

Out = tuple[torch.Tensor, torch.Tensor]
"""Token ids and logits."""


def generate(model: PreTrainedModel, batch: int, cache: str) -> Out:
    ids, mask = (tensor.to(model.device) for tensor in prompts(batch, PROMPT))
    return continue_greedily(model, ids, mask, GENERATED, cache)


def served(model: PreTrainedModel, preset: str, share: float, device: str) -> dict[tuple[int, str], Out]:
    """What a preset gives, with memory for a share of the experts, by batch and cache."""
    with session_of(model, preset, share, MOST, device=device) as session:
        assert UNREADABLE not in session.notes
        return {run: generate(session.model, *run) for run in PRESETS.get(preset, EVERY)}


def check_float32(family: str, device: str) -> None:
    """Presets give the plain model's tokens."""
    model = tiny_model(family, torch.float32).to(device)
    model.generation_config.disable_compile = True  # what transformers compiles by itself takes a minute
    expected = {run: generate(model, *run) for run in EVERY}
    for preset in PRESETS:
        for run, (tokens, logits) in served(model, preset, 0.25, device).items():
            right, near = expected[run]
            assert torch.equal(tokens, right), (preset, run)
            assert (logits - near).abs().max() <= 1e-3 * near.abs().max(), (preset, run)


def check_bfloat16(family: str, device: str) -> None:
    """Presets give the bits of the run that has every expert resident."""
    model = tiny_model(family).to(device)
    expected = served(model, "all_resident", 1.0, device)
    for preset in PRESETS:
        for run, found in served(model, preset, 0.25, device).items():
            assert all(map(torch.equal, found, expected[run])), (preset, run)


def check_rounding(family: str, device: str) -> None:
    """The engine's bfloat16 is as near to float32 as transformers' is."""
    model = tiny_model(family).to(device)
    exact = row_logits(deepcopy(model).float())
    plain = rounding(row_logits(model), exact)
    with session_of(model, "lru", 0.25, MOST, device=device) as session:
        assert 0 < rounding(row_logits(session.model), exact) <= 3 * plain


@torch.no_grad()
def row_logits(model: PreTrainedModel) -> torch.Tensor:
    """Logits [N, V] of every position of a few texts at once, in float32."""
    ids = torch.randint(2, 97, (MOST, PROMPT), generator=torch.Generator().manual_seed(2))
    return model(ids.to(model.device)).logits.float().flatten(0, 1)  # type: ignore[no-any-return]


def rounding(logits: torch.Tensor, exact: torch.Tensor) -> float:
    """Root mean square of the differences, the median position's: at a few, a router chooses otherwise."""
    return float((logits - exact).square().mean(dim=1).sqrt().median())


@pytest.mark.parametrize("family", FAMILIES)
def test_float32_gives_the_plain_models_tokens(family: str) -> None:
    check_float32(family, "cuda")


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_gives_the_resident_runs_bits(family: str) -> None:
    check_bfloat16(family, "cuda")


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_is_as_near_to_float32_as_transformers(family: str) -> None:
    check_rounding(family, "cuda")
