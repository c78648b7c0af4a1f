"""Bench: one model, one store and one routing; policies run on them one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter

import torch
from transformers import Cache, PreTrainedModel

from hobbit.api import HIGH, LOW, Geometry
from hobbit.api.quantizer import LOSSLESS
from hobbit.assembly import Assembly, assemble
from hobbit.bench.clock import Backend
from hobbit.bench.drive import Timed, drive, static_cache
from hobbit.bench.engine_host import with_host_of
from hobbit.bench.engine_link import engine_link
from hobbit.bench.experts import SyntheticExperts
from hobbit.bench.machine import Rates
from hobbit.bench.replayed import ReplayedRouting
from hobbit.bench.routing import BenchRouting
from hobbit.bench.row import PolicyRow, Shares
from hobbit.bench.split import FIRST, Split, SplitClock, SplitDevice, SplitServer
from hobbit.bench.tally import Counts, Tally
from hobbit.engine.attach import attach
from hobbit.engine.attachment import Attachment
from hobbit.engine.serving import LayerServer
from hobbit.setup import Setup
from hobbit.sizes import parse_size
from hobbit.trace import selection_scores
from hobbit.trace.replay import future_of

WARM = 16
"""Tokens of the warm-up sequence: kernels are compiled, graphs captured, caches filled."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: `repeats` sequences within about `seconds`, then `split` tokens with barriers."""

    prompt: int = 128
    tokens: int = 128
    repeats: int = 5
    seconds: float = 30.0
    split: int = 16


@dataclass
class Bench:
    """What every policy shares. `resident_ms` is the all-resident token of this engine, once it is known.

    With `asks`, layers ask the runtime even where everything is resident, as they do under other policies.
    """

    geometry: Geometry
    model: PreTrainedModel
    experts: SyntheticExperts
    routing: BenchRouting
    rates: Rates
    backend: Backend
    plan: Plan
    resident_ms: float | None = None
    asks: bool = False

    def policy(self, name: str, setup: Setup, budget: int) -> PolicyRow:
        """Measure one policy; `budget` is what the device's memory may reach, work space included.

        Raises:
            HobbitError: if the policy does not fit.
        """
        self.backend.forget_peak()
        tally = Tally(())
        with self._opened(setup, tally) as (assembly, attachment):
            self.backend.forget_peak()  # experts that were encoded just now took memory that no run takes
            tally.blob_bytes = assembly.context.blob_bytes
            self.rates = with_host_of(assembly, self.rates)
            server = ReplayedRouting(assembly.runtime, self.routing.trace, self.asks)
            with attachment.serving(server):
                cache = self._cache(attachment)
                drive(self.model, self.plan.prompt, min(WARM, self.plan.tokens), cache)
                attachment.settle()
                tally.reset()
                times = self._repeats(cache)
                attachment.settle()
            peak = self.backend.peak_bytes()
            counted = tally.decode
            tally.reset()  # what is split is not counted
            split = self._split(assembly, attachment, server) if self.plan.split else None
            notes = (*assembly.notes, *attachment.notes)
            own = assembly.precisions[HIGH] in (*LOSSLESS, self.geometry.dtype)
            loss = "lossless" if own and assembly.exact else "lossy"  # held against the model's own weights
            if setup.cache.unlimited:
                budget += assembly.plan.capacity - parse_size(setup.memory.device, "memory.device")
            return self._row(name, assembly, times, counted, split, (budget, peak), loss, notes)

    @contextmanager
    def _opened(self, setup: Setup, tally: Tally) -> Iterator[tuple[Assembly, Attachment]]:
        trace = self.routing.trace
        assembly = assemble(
            setup, self.geometry, tokens=self.plan.prompt + self.plan.tokens, live=self.experts,
            observers=(tally,), future=future_of(trace) if setup.needs_future else None,
            past=self.routing.past,
        )  # fmt: skip
        try:
            graphs = setup.device.records_steps()
            with attach(self.model, assembly.runtime, None, graphs=graphs) as attachment:
                yield assembly, attachment
        finally:
            assembly.close()

    def _cache(self, attachment: Attachment) -> Cache | None:
        """A static KV cache where steps are recorded; else None, and the cache grows."""
        length = self.plan.prompt + self.plan.tokens + 1
        return static_cache(self.model, length) if attachment.static_cache else None

    def link(self, setup: Setup) -> tuple[float, float] | None:
        """Bandwidth and time a copy of the link as this engine uses it; see `engine_link`."""
        with self._opened(setup, Tally(())) as (assembly, _):
            return engine_link(assembly, self.backend)

    def _repeats(self, cache: Cache | None) -> list[Timed]:
        times: list[Timed] = []
        started = perf_counter()
        while len(times) < self.plan.repeats and (not times or perf_counter() - started < self.plan.seconds):
            times.append(drive(self.model, self.plan.prompt, self.plan.tokens, cache))
        return times

    def _split(self, assembly: Assembly, attachment: Attachment, server: LayerServer) -> Split:
        """The parts of a token, from a sequence of its own with barriers."""
        clock = SplitClock(self.geometry.layers, self.backend)
        runtime, device = assembly.runtime, assembly.runtime.device
        runtime.device = SplitDevice(device, clock)
        try:
            with attachment.serving(SplitServer(server, clock)):
                tokens, cache = min(self.plan.split + FIRST - 1, self.plan.tokens), self._cache(attachment)
                drive(self.model, self.plan.prompt, tokens, cache, clock.begin, clock.end)
        finally:
            runtime.device = device
        return clock.split()

    def _row(
        self,
        name: str,
        assembly: Assembly,
        times: list[Timed],
        counts: Counts,
        split: Split | None,
        memory: tuple[int, int | None],
        loss: str,
        notes: tuple[str, ...],
    ) -> PolicyRow:
        speeds = [timed.tokens_per_second for timed in times]
        speed = median(speeds)
        per = 1 / max(1, counts.tokens)
        link_s = counts.copied * per / self.rates.link_gb_s / 1e9
        host_s = counts.hosted * per / self.rates.host_gb_s / 1e9
        floor = None if self.resident_ms is None else max(link_s * 1e3, host_s * 1e3, self.resident_ms)
        wanted = counts.hits + counts.misses
        return PolicyRow(
            policy=name,
            loss=loss,
            repeats=len(times),
            tokens=self.plan.tokens,
            decode_tokens_per_s=speed,
            prefill_tokens_per_s=self.plan.prompt / median(timed.prefill_ns for timed in times) * 1e9,
            token_ms=1e3 / speed,
            spread=(max(speeds) - min(speeds)) / speed,
            shares=self._shares(assembly, counts),
            hit_ratio=counts.hits / wanted if wanted else 0.0,
            moved=counts.moved * per,
            copied=counts.copied * per,
            hosted=counts.hosted * per,
            link_share=link_s * speed,
            host_share=host_s * speed,
            floor_ms=floor,
            efficiency=None if floor is None else floor * speed / 1e3,
            budget=memory[0],
            planned=assembly.plan.capacity,
            peak_bytes=memory[1],
            slots=dict(zip(assembly.precisions, assembly.plan.slots, strict=True)),
            split=split,
            notes=notes,
        )

    def _shares(self, assembly: Assembly, counts: Counts) -> Shares:
        per = 1 / max(1, counts.selections)
        return Shares(
            counts.served[HIGH] * per,
            counts.served[LOW] * per,
            counts.skipped * per,
            counts.host_selections * per,
            self._decided(assembly) if assembly.runtime.loader.levels > 1 else None,
        )

    def _decided(self, assembly: Assembly) -> tuple[float, float, float]:
        """Shares of the decoded selections as the loader's thresholds alone have them."""
        scores = selection_scores(self.routing.trace, decode_only=True)
        levels = [assembly.runtime.loader.level_for(score) for score in scores.tolist()]
        high, low = levels.count(HIGH) / len(levels), levels.count(LOW) / len(levels)
        return high, low, 1 - high - low


def budgeted(setup: Setup, nbytes: int) -> Setup:
    """The same policy with `nbytes` of device memory to plan with."""
    return replace(setup, memory=replace(setup.memory, device=f"{nbytes}B"))


def place_of(setup: Setup) -> torch.device:
    """Where the activations of a run on this setup's device live."""
    name = setup.device.name
    return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device(name)
