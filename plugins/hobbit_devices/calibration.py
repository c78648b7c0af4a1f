"""Measuring a machine before the first layer: what a copy takes, and an expert on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from time import perf_counter_ns

import torch

from hobbit.api import BlobLayout, ExpertKey, ExpertSource, SlotLayout
from hobbit.sizes import format_size
from hobbit_devices.arena import SlotArena
from hobbit_devices.gpu_costs import GpuCosts, HostCost
from hobbit_devices.gpu_streams import GpuStreams
from hobbit_devices.host_experts import HostExperts
from hobbit_devices.in_place import InPlace

SAMPLES = 4
"""Experts of a level to be tried, the first of them to warm up."""

ROUNDS = 3
"""Times that each of them is tried on the host."""

MANY = 16
"""Tokens of the second product on the host, which gives the cost of a further token."""


class Calibration:
    """Fills `costs` from the run's own blobs, slots and threads; `notes` hears the result.

    A few copies and products of each level, well under a second in all. Levels whose blobs are not in memory,
    or whose experts are not gated ones, keep their nominal costs.
    """

    def __init__(self, costs: GpuCosts, notes: list[str]) -> None:
        self._costs = costs
        self._notes = notes

    def run(
        self,
        layout: SlotLayout,
        arena: SlotArena,
        source: ExpertSource,
        streams: GpuStreams,
        host_experts: HostExperts,
        in_place: Sequence[InPlace | None],
    ) -> None:
        """Measure every level; `in_place` reads the blobs of each where they lie, if anything does."""
        for level, blob in enumerate(layout.layouts):
            keys = self._keys(level, source)
            if len(keys) < SAMPLES:
                continue
            source.expect(keys)
            blobs = [source.blob(key) for key in keys]
            try:
                copy_ns = _copy_ns(arena.blob(level, 0), blobs, streams)
                self._costs.copies[level] = copy_ns
                host = read_ns = None
                if (reader := in_place[level]) is not None:
                    read_ns = self._costs.in_place[level] = _in_place_ns(reader, level, blob, blobs, streams)
                if [name for name, _ in blob.tensors] == ["gate_up_proj", "down_proj"]:
                    x = _hidden(blob, arena.blob(level, 0).device)
                    beside = partial(_keep_busy, streams, arena.blob(level, 0))
                    host = _host_cost(host_experts, level, blobs, x, beside)
                    streams.join(streams.copied())
                    self._costs.hosts[level] = host
            finally:
                for key in keys:
                    source.release(key)
            self._notes.append(_in_words(blob.precision, blob.nbytes, copy_ns, host, read_ns))

    def _keys(self, level: int, source: ExpertSource) -> list[ExpertKey]:
        shape = self._costs.context.shape
        keys = (
            ExpertKey(layer, expert, level)
            for layer in range(min(shape.layers, SAMPLES))
            for expert in range(min(shape.experts, SAMPLES))
        )
        return [key for key in keys if source.at_hand(key)][:SAMPLES]


def _copy_ns(target: torch.Tensor, blobs: Sequence[torch.Tensor], streams: GpuStreams) -> int:
    """Nanoseconds of one copy among several, into a slot that nobody uses yet."""
    if not streams.direct(blobs[0]):
        start = perf_counter_ns()
        for blob in blobs:
            target.copy_(blob)
        streams.finish()
        return (perf_counter_ns() - start) // len(blobs)
    marks = []
    for blob in (*blobs, *blobs):
        streams.copy(target, blob)
        marks.append(streams.copied())
    streams.join(marks[-1])
    # The least: the first copies into fresh memory take twice as long as any later one.
    return min(streams.between_ns(before, after) for before, after in pairwise(marks))


def _in_place_ns(
    reader: InPlace, level: int, layout: BlobLayout, blobs: Sequence[torch.Tensor], streams: GpuStreams
) -> int:
    """Nanoseconds of one expert's products for one token, read where it lies."""
    x = _hidden(layout, reader.device)[:1]
    out = torch.zeros(x.shape, device=reader.device)
    streams.finish()
    with streams.beside():
        marks = [streams.computed()]
        for blob in (*blobs, *blobs):  # the first of them compiles the kernels
            reader.run(level, [blob], x, out, 0)
            marks.append(streams.computed())
        streams.finish()
    return min(streams.between_ns(before, after) for before, after in pairwise(marks))


def _keep_busy(streams: GpuStreams, slot: torch.Tensor, blob: torch.Tensor) -> None:
    """Let the link copy meanwhile, for about as long as an expert takes on the host."""
    if streams.direct(blob):
        streams.copy(slot, blob)
        streams.copy(slot, blob)


def _host_cost(
    host: HostExperts,
    level: int,
    blobs: Sequence[torch.Tensor],
    x: torch.Tensor,
    beside: Callable[[torch.Tensor], None],
) -> HostCost:
    """The host's, its input fetched and its output sent back; each blob is cold, as a missing expert's is.

    The link is busy meanwhile (`beside` queues a copy of a blob), as it is when experts run on the host: both
    draw from one memory. The lower quartile counts: threads that have slept take milliseconds to wake, and
    on a shared machine others' work comes and goes.
    """

    def took(tokens: int) -> float:
        times = []
        for blob, other in (*zip(blobs, reversed(blobs), strict=True),) * ROUNDS:
            beside(other)
            times.append(host.trial(level, blob, x[:tokens]))
        return sorted(times)[len(times) // 4]

    one, many = took(1), took(len(x))
    return HostCost(one, max(0.0, (many - one) / (len(x) - 1)))


def _hidden(layout: BlobLayout, place: torch.device) -> torch.Tensor:
    """Hidden states of MANY tokens."""
    spec = dict(layout.tensors)["down_proj"]
    return torch.ones((MANY, spec.shape[0]), dtype=getattr(torch, spec.dtype), device=place)


def _in_words(precision: str, nbytes: int, copy_ns: int, host: HostCost | None, read_ns: int | None) -> str:
    ways = [("copy", copy_ns), ("read in place", read_ns), ("on the host", host and host.first_ns)]
    shown = [
        f"{way} {ns / 1e6:.2f} ms ({nbytes / ns:.1f} GB/s)" if ns else f"{way} 0 ms"
        for way, ns in ways
        if ns is not None
    ]
    return f"measured at start: {precision}, {format_size(nbytes)} an expert: {', '.join(shown)}"
