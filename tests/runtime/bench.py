"""A runtime on a ledger: components at work, and what was told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hobbit_baselines.passthrough import PassthroughComponent

from hobbit.api import Context, Geometry, Records, Routing, SlotLayout
from hobbit.runtime import LayerEvent, Observer, Residency, Runtime, Transfers
from tests.runtime.ledger import LedgerDevice


class Events(Observer):
    def __init__(self) -> None:
        self.all: list[LayerEvent] = []

    def layer(self, event: LayerEvent) -> None:
        self.all.append(event)


@dataclass
class Bench:
    """A runtime on a ledger, with what it told its observers."""

    runtime: Runtime
    device: LedgerDevice
    events: Events
    payload: Any = None

    def step(self, layer: int, experts: list[list[int]], ahead: list[list[int]] | None = None) -> LayerEvent:
        """Serve one layer; gate weights fall by half from rank to rank; `ahead[d]` are predicted experts."""
        shape = self.runtime.shape
        weights = np.tile(0.5 ** np.arange(1, len(experts[0]) + 1), (len(experts), 1)).astype(np.float32)
        lookahead = None
        if ahead is not None:
            lookahead = np.zeros((len(ahead), len(experts), shape.experts), np.float32)
            for distance, chosen in enumerate(ahead):
                for rank, expert in enumerate(chosen):
                    lookahead[distance, :, expert] = 9.0 - rank
        self.runtime.layer(
            layer, Routing(np.array(experts, np.int64), weights, lookahead=lookahead), self.payload
        )
        return self.events.all[-1]


def bench(  # type: ignore[no-untyped-def]
    loader, prefetcher, cache, slots=(4, 2), layers=3, experts=4, top_k=2, window=0, router=None
) -> Bench:
    geometry = Geometry("toy", layers, experts, top_k, 8, 8)
    context = Context(geometry, ("native", "int2"), (100, 25), Records(geometry.shape))
    device = LedgerDevice()
    context.costs = device.costs
    loading = context.loader = loader.build(context)
    ahead, policy = prefetcher.build(context), cache.build(context)
    slots = slots[: loading.levels]
    allocations = [policy.allocate(level, n, geometry.shape) for level, n in enumerate(slots)]
    residency = Residency(geometry.shape, allocations, policy, ahead.staging)
    transfers = Transfers(device, residency, context.blob_bytes, window, ahead.staging > 0)
    device.prepare(SlotLayout(slots, ()), None, None)  # type: ignore[arg-type]
    events = Events()
    router = (router or PassthroughComponent()).build(context)
    runtime = Runtime(
        geometry.shape,
        device,
        loading,
        ahead,
        policy,
        router,
        context.records,
        residency,
        transfers,
        [events],
    )
    runtime.begin_sequence()
    return Bench(runtime, device, events)
