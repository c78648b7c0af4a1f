"""The presets on a real GPU: lossless ones agree to the bit, others as rounding lets them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import pytest
import torch

from hobbit.api.quantizer import LOSSLESS
from hobbit.config.compose import compose
from hobbit.engine.checkpoint import load_checkpoint
from hobbit.engine.session import Session, open_session
from hobbit.runtime import LayerEvent, Observer, Phase
from hobbit.trace.past import bundled_past
from tests.engine.runs import continue_greedily
from tests.presets.divergence import mean_divergences
from tests.presets.rounding import rounding_error

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible"),
]

PROMPT, GENERATED = 64, 32


def prompt() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(2, 4096, (1, PROMPT), generator=torch.Generator().manual_seed(1))
    return ids, torch.ones_like(ids)


@contextmanager
def serving(
    preset: str, budget: str, *options: str, device: str = "cuda", observers: Sequence[Observer] = ()
) -> Iterator[Session]:
    """The bundled model on the GPU under a preset."""
    words = [f"policy={preset}", f"device={device}", "precision.high=native", f"memory.device={budget}"]
    words += options
    config = compose(words)
    model, tokenizer = load_checkpoint(config.model.location)
    with open_session(
        model, tokenizer, config.setup(), name="bundled", tokens=PROMPT + GENERATED, past=bundled_past,
        observers=observers,
    ) as session:  # fmt: skip
        assert not any("no fused kernels" in note for note in session.notes)
        yield session


def served(preset: str, budget: str, *options: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and logits of a prompt continued greedily under a preset."""
    ids, mask = (tensor.cuda() for tensor in prompt())
    with serving(preset, budget, *options) as session:
        out = continue_greedily(session.model, ids, mask, GENERATED)
        assert session.assembly.metrics.decode.tokens == GENERATED - 1
    return out


@cache
def resident(high: str = "native") -> tuple[torch.Tensor, torch.Tensor]:
    """The same with every expert on the device: the same kernels, nothing to move."""
    return served("all_resident", "60MB", f"precision.high={high}")


def test_hobbits_divergence_is_the_cpus_within_a_tenth() -> None:
    """Over 2,304 tokens: rounding that differs moves the mean of so many by 3 % or so, of fewer by more."""
    there, here = mean_divergences({"cuda": 2, "cpu": 1})
    assert there == pytest.approx(here, rel=0.1)


@pytest.mark.parametrize("high", LOSSLESS)
@pytest.mark.parametrize("preset", ["all_resident", "freetoken", "llama_cpp"])
def test_engine_and_host_are_as_near_to_float32_as_transformers(preset: str, high: str) -> None:
    model, _ = load_checkpoint(compose([]).model.location)
    with serving(preset, "14MB", f"precision.high={high}") as session:
        ours = rounding_error(session.model)
        assert (session.assembly.metrics.decode.hosted > 0) == (preset != "all_resident")
    assert ours <= 3 * rounding_error(model.cuda())


@pytest.mark.parametrize("budget", ["12MB", "20MB", "60MB"])
@pytest.mark.parametrize(
    "preset",
    ["on_demand", "lru", "lfu", "mixtral_offloading", "hobbit_lossless", "accelerate", "moe_infinity"],
)
def test_lossless_presets_are_the_resident_engine_to_the_bit(preset: str, budget: str) -> None:
    ids, logits = served(preset, budget)
    assert torch.equal(ids, resident()[0])
    assert torch.equal(logits, resident()[1])


@pytest.mark.parametrize("budget", ["12MB", "20MB"])
@pytest.mark.parametrize("preset", ["lru", "hobbit_lossless"])
def test_so_they_are_where_12_bits_are_enough(preset: str, budget: str) -> None:
    ids, logits = served(preset, budget, "precision.high=lossless12")
    assert torch.equal(ids, resident("lossless12")[0])
    assert torch.equal(logits, resident("lossless12")[1])


class Decisions(Observer):
    """Every decision with what led to it and what it moved, in order."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def layer(self, event: LayerEvent) -> None:
        """Keep what is no measured time."""
        moved = [(copy.key, copy.slot, copy.urgent) for copy in (*event.loads, *event.prefetches)]
        found = [tuple(event.demands), tuple(event.held), tuple(event.decisions)]
        used = {copy.key for copy in event.first_uses}
        self.heard.append((event.layer, found, moved, tuple(event.evicted), used, event.dropped))


def counts(phase: Phase) -> Phase:
    """A phase without its measured times."""
    return replace(phase, stall_ns=0, time_ns=0)


def repeatable(preset: str, *options: str, device: str = "cuda") -> tuple[list[object], list[torch.Tensor]]:
    """All that a run with little memory decides and counts, and the tokens and logits that it gives.

    With the KV cache that task=run takes: on a GPU, decode steps are then replayed from recordings.
    """
    words = ("precision.low=int4", "deterministic=true", "seed=0", *options)
    decisions = Decisions()
    with serving(preset, "14MB", *words, device=device, observers=[decisions]) as session:
        ids, mask = (tensor.to(session.model.device) for tensor in prompt())
        assert session.attachment.static_cache is (device == "cuda")
        cache = "static" if session.attachment.static_cache else None
        out = continue_greedily(session.model, ids, mask, GENERATED, cache)
        session.attachment.settle()
        metrics = session.assembly.metrics
        assert metrics.decode.loads + metrics.decode.hosted > 0
        return [counts(metrics.prefill), counts(metrics.decode), *decisions.heard], list(out)


@pytest.mark.parametrize(
    "words",
    [
        ("hobbit",),
        ("hobbit_balanced",),
        ("hobbit_cooperative",),
        ("hobbit_shared",),
        ("shared",),
        ("freetoken",),
        ("mixtral_offloading",),
        ("lru", "prefetcher=stacked_gate"),
    ],
    ids="-".join,
)
def test_two_runs_give_the_same_bits_by_the_same_decisions(words: tuple[str, ...]) -> None:
    """Each in a session of its own; what arrives when differs, and must not matter."""
    (first, bits), (second, again) = (repeatable(*words) for _ in range(2))
    assert first == second
    assert all(torch.equal(*pair) for pair in zip(bits, again, strict=True))


def test_slots_take_what_the_plan_gives_them() -> None:
    """What a run has beside its budget is what transformers needs for activations."""
    config = compose(["policy=lru", "device=cuda", "precision=native", "memory.device=20MB"])
    model, tokenizer = load_checkpoint(config.model.location)
    ids, mask = (tensor.cuda() for tensor in prompt())
    model.cuda()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    continue_greedily(model, ids, mask, GENERATED)
    activations = torch.cuda.max_memory_allocated() - before
    model.cpu()
    torch.cuda.empty_cache()
    idle = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    with open_session(model, tokenizer, config.setup(), name="bundled", tokens=PROMPT + GENERATED):
        continue_greedily(model, ids, mask, GENERATED)
    assert torch.cuda.max_memory_allocated() - idle <= 20 * 10**6 + 2 * activations + 2**20
