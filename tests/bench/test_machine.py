"""Measured bandwidths, the tally of bytes, and the clock that splits a token."""

from __future__ import annotations

from pathlib import Path
from time import sleep
from typing import cast

import pytest
import torch

from hobbit.api import Action, Copy, Decision, Demand, Device, DeviceReport, ExpertKey
from hobbit.bench.clock import Backend
from hobbit.bench.machine import measure_disk, measure_rates
from hobbit.bench.split import PARTS, SplitClock, SplitDevice
from hobbit.bench.tally import Tally
from hobbit.runtime.events import LayerEvent


def test_rates_are_measured() -> None:
    rates = measure_rates(torch.device("cpu"), 64, 128, torch.float32, scale=0.001)
    assert min(rates.link_gb_s, rates.memory_gb_s, rates.tflops, rates.host_gb_s, rates.host_tflops) > 0
    assert rates.link_latency_us >= 0


def test_the_disk_is_measured_and_left_clean(tmp_path: Path) -> None:
    found = measure_disk(4 * 2**20, tmp_path)
    assert found is None or found > 0
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_were_used() -> None:
    tally = Tally((100, 30))
    prefetched, evicted = ExpertKey(1, 4, 1), ExpertKey(1, 5, 0)
    tally.begin_pass(1, 7, 1)
    missed = [(0, Action.LOAD, 0), (1, Action.HOST, 1), (2, Action.SKIP, -1)]
    tally.layer(_event(0, missed, [prefetched, evicted]))
    tally.layer(_event(1, [(4, Action.USE, 1), (6, Action.USE, 0)], evicted=[evicted], used=[prefetched]))
    tally.layer(_event(1, [(4, Action.USE, 1)]))
    decode = tally.decode
    assert (decode.moved, decode.copied, decode.hosted) == (100 + 30 + 100, 100 + 30, 30)
    assert (decode.selections, decode.served, decode.skipped, decode.host_selections) == (6, [2, 3], 1, 1)
    assert (decode.hits, decode.misses, decode.tokens) == (3, 2, 1)
    assert tally.prefill.selections == 0


def test_every_moment_is_charged_to_one_part() -> None:
    clock = SplitClock(2, Backend(torch.device("cpu")), first=1)
    for _ in range(3):
        clock.begin()
        for layer in range(2):
            for part in range(len(PARTS)):
                clock.charge(part)
            clock.layer = layer + 1
        clock.end()
    split = clock.split()
    assert clock.tokens == 2  # the first step is the prompt's
    assert split.total == pytest.approx(sum(map(sum, split.by_layer))) and split.total > 0
    assert list(split.parts) == list(PARTS)


class Waiting:
    """A device whose computation waits for copies by itself: `run` holds the wait, the report tells of it."""

    def __init__(self) -> None:
        self.stalled = 0

    def run(self, layer: int, jobs: object, payload: object) -> None:
        sleep(0.02)
        self.stalled += 15_000_000

    def report(self) -> DeviceReport:
        return DeviceReport(False, stall_ns=self.stalled)


def test_waits_inside_run_are_waits_for_copies() -> None:
    clock = SplitClock(1, Backend(torch.device("cpu")), first=0)
    device = SplitDevice(cast(Device, Waiting()), clock)
    clock.begin()
    device.run(0, [], None)
    clock.end()
    parts = clock.split().parts
    assert parts["copies"] == 15 and parts["experts"] >= 4


def _event(
    layer: int,
    decided: list[tuple[int, Action, int]],
    prefetches: list[ExpertKey] | None = None,
    evicted: list[ExpertKey] | None = None,
    used: list[ExpertKey] | None = None,
) -> LayerEvent:
    size = (100, 30)
    loads = [
        Copy(ExpertKey(layer, expert, level), 0, True, size[level])
        for expert, action, level in decided
        if action is Action.LOAD
    ]
    copies, first_uses = (
        [Copy(key, 0, False, size[key.level]) for key in keys or ()] for keys in (prefetches, used)
    )
    return LayerEvent(
        layer, 1, [Demand(expert, 0.5, 0.0, 1) for expert, _, _ in decided], [0] * len(decided),
        [Decision(action, level) for _, action, level in decided], loads, copies, evicted or [],
        first_uses, 0, 0,
    )  # fmt: skip
