"""Fiddler, llama.cpp, accelerate and FreeToken on simulated devices: what each moves and never moves."""

from __future__ import annotations

from functools import cache

import pytest

from hobbit.assembly import Assembly, assemble
from hobbit.config.compose import compose
from hobbit.trace import RoutingStatistics, Trace, generate
from hobbit.trace.past import past_of
from hobbit.trace.replay import replay

PROMPT, GENERATED = 16, 8
STATISTICS = RoutingStatistics((0.3,), (0.5,), 0.7, (0.9, 0.8, 0.8))
EXPERTS, LAYERS = 8, 32


@cache
def trace() -> Trace:
    return generate(compose([]).geometry.shape, STATISTICS, ((PROMPT, GENERATED),), seed=5)


@cache
def replayed(policy: str, device: str, *options: str) -> Assembly:
    """Mixtral's geometry under the preset, replayed to the end."""
    config = compose([f"policy={policy}", f"device={device}", *options])
    assembly = assemble(
        config.setup(), config.geometry, tokens=PROMPT + GENERATED, past=past_of(trace().header)
    )
    replay(trace(), assembly.runtime)
    return assembly


@pytest.mark.parametrize("policy", ["fiddler", "llama_cpp"])
def test_what_stays_is_placed_before_the_first_token_and_decode_copies_nothing(policy: str) -> None:
    run = replayed(policy, "rtx4090")
    assert "experts placed before the first token" in run.notes[0]
    assert run.metrics.decode.bytes == 0
    assert run.metrics.decode.hosted > 0
    assert run.metrics.decode.evictions == run.metrics.prefill.evictions == 0


def test_fiddler_side_by_side_is_no_slower() -> None:
    alone, together = replayed("fiddler", "rtx4090"), replayed("fiddler", "rtx4090", "loader.objective=max")
    for phase in ("prefill", "decode"):
        assert getattr(together.metrics, phase).time_ns <= getattr(alone.metrics, phase).time_ns
    assert together.metrics.prefill.bytes > 0, "the prompt keeps the host busy enough to share with the link"


def test_llama_cpp_on_unified_memory_is_a_page_cache() -> None:
    pages, lru = replayed("llama_cpp", "orin"), replayed("lru", "orin", "cache.per_layer=false")
    assert pages.metrics.decode == lru.metrics.decode
    assert pages.metrics.decode.hosted == 0


def test_accelerate_moves_every_layer_that_does_not_stay() -> None:
    run = replayed("accelerate", "rtx4090")
    staying = (run.plan.slots[0] - EXPERTS) // EXPERTS
    decode = run.metrics.decode
    assert run.notes[-1] == f"{staying * EXPERTS} experts placed before the first token"
    assert decode.demands == GENERATED * LAYERS * EXPERTS
    assert decode.selections == GENERATED * LAYERS * 2
    # A few slots more than two layers' worth let the odd expert stay until its layer comes again.
    most = GENERATED * (LAYERS - staying) * EXPERTS
    assert 0.9 * most < decode.misses[0] <= most


@pytest.mark.parametrize(("rate", "copies"), [(200.0, False), (15.0, True)])
def test_freetoken_copies_where_the_host_is_slow(rate: float, copies: bool) -> None:
    run = replayed("freetoken", "rtx4090", f"device.host_gb_s={rate}")
    assert run.metrics.decode.hosted > 0
    assert (run.metrics.decode.demand_bytes > 0) is copies


def test_freetoken_is_no_slower_than_either_side_alone() -> None:
    shared = replayed("freetoken", "rtx4090", "device.host_gb_s=20")
    for loader in ("host", "on_demand"):
        alone = replayed("freetoken", "rtx4090", "device.host_gb_s=20", f"loader={loader}")
        assert shared.metrics.decode.time_ns <= alone.metrics.decode.time_ns
