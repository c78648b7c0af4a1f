"""Every family of the list: saved, loaded, served in part from memory, and right to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from hobbit.engine.anatomy import find_layers
from hobbit.engine.attachment import UNREADABLE, Attachment
from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.quality import Passage, measure_quality, reference
from hobbit.engine.resident import ResidentServer
from hobbit.engine.routing import resident_routing
from hobbit.engine.weights import expert_tensors
from tests.engine.families import FAMILIES, tiny_checkpoint, tiny_model
from tests.engine.runs import continue_greedily, prompts
from tests.engine.sessions import GENERATED, PROMPT, session_of

RUNS = {
    torch.bfloat16: {1: (0.5,), 4: (0.25,)},
    torch.float32: {4: (1.0,)},
}
"""Shares of all experts that memory is for, by dtype and batch."""

SHARES = (0.25, 0.5, 1.0)
"""Of the whole matrix, which `pytest -m slow` runs."""


def check_bits(model: PreTrainedModel, policy: str, batch: int, shares: Sequence[float]) -> None:
    ids, mask = prompts(batch, PROMPT)
    expected = continue_greedily(model, ids, mask, GENERATED)
    for share in shares:
        with session_of(model, policy, share, batch) as session:
            served = continue_greedily(model, ids, mask, GENERATED)
            assert UNREADABLE not in session.notes
            assert session.assembly.metrics.prefill.loads > 0
        assert all(torch.equal(a, b) for a, b in zip(expected, served, strict=True)), (batch, share)


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


@pytest.mark.parametrize("dtype", RUNS, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_prefill_logits_and_tokens_are_bit_identical(family: str, dtype: torch.dtype) -> None:
    model = tiny_model(family, dtype)
    for batch, shares in RUNS[dtype].items():
        check_bits(model, "hobbit_lossless", batch, shares)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("dtype", RUNS, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_at_every_share_of_memory(family: str, dtype: torch.dtype, batch: int) -> None:
    check_bits(tiny_model(family, dtype), "hobbit_lossless", batch, SHARES)


@pytest.mark.parametrize(
    ("family", "policy"), [("gpt_oss", "mixtral_offloading"), ("deepseek_v3", "fate"), ("qwen3_next", "lru")]
)
def test_more_presets(family: str, policy: str) -> None:
    model = tiny_model(family)
    for batch, share in ((1, 0.25), (4, 1.0)):
        check_bits(model, policy, batch, [share])


@pytest.mark.parametrize("family", FAMILIES)
def test_what_hobbit_loses_is_little(family: str) -> None:
    """KL to the model at its own dtype, teacher-forced; a run at low precision alone loses more."""
    model = tiny_model(family)
    ids, _ = prompts(1, 24)
    passages = {"random": [Passage(tuple(ids[0].tolist()), 8)]}
    losses: list[float] = []
    known = None
    for words in (("loader.t1=0.6", "loader.t2=1"), ("loader.t1=0", "loader.t2=1")):
        with session_of(model, "hobbit", 0.5, 1, *words, "precision.low=int4") as session:
            known = known or reference(session.attachment, ResidentServer(session.live.tensors), passages)
            losses.append(measure_quality(model, passages, known).overall.mean_kl)
    print(f"{family}: KL of HOBBIT {losses[0]:.3g} nats, of low copies first {losses[1]:.3g}")
    assert 0 < losses[0] < 1
    assert losses[0] < losses[1]


@pytest.mark.parametrize("family", ["mixtral", "gpt_oss", "qwen3_next"])
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_passes_know_their_context_whatever_the_cache(family: str, cache: str) -> None:
    """Sliding windows and linear attention keep caches of their own kinds."""
    heard: list[object] = []

    class Listener(ResidentServer):
        def begin_sequence(self) -> None:
            heard.append("sequence")

        def begin_pass(self, tokens: int, context: int) -> None:
            heard.append((tokens, context))

    model = tiny_model(family)
    layers = find_layers(model)
    server = Listener(lambda layer, expert: expert_tensors(layers[layer], expert))
    ids, mask = prompts(1, PROMPT)
    with Attachment(model, server, None):
        model.generate(  # type: ignore[operator]
            ids, attention_mask=mask, max_new_tokens=4, do_sample=False, cache_implementation=cache
        )
    assert heard == ["sequence", (40, 0), (1, 40), (1, 41), (1, 42)]
