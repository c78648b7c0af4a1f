"""A device that really executes, in plain torch; backends differ only in their link."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from time import perf_counter_ns
from typing import Any

import torch

from hobbit.api import (
    Copy,
    CostModel,
    DeviceReport,
    ExpertKey,
    ExpertPayload,
    ExpertSource,
    Job,
    Quantizer,
    SlotLayout,
)
from hobbit.errors import DeviceError
from hobbit_devices.arena import SlotArena
from hobbit_devices.host_lane import HostLane
from hobbit_devices.link import Link
from hobbit_devices.worker import LoaderThread, Transfer


class TorchDevice:
    """Meets the `Device` Protocol on `torch_device`, measured on the wall clock.

    Copies of at most `in_place` bytes are made by the caller itself, and count as waiting. `threaded_host`
    runs host experts on a thread beside the device; the CPU, being the host, runs them at once.
    """

    simulated = False
    queues = False

    def __init__(
        self,
        torch_device: torch.device,
        costs: CostModel,
        link: Link,
        in_place: int = 0,
        threaded_host: bool = True,
    ) -> None:
        self.torch_device = torch_device
        self.place = str(torch_device)
        self.costs = costs
        self._link = link
        self._in_place = in_place
        self._host_slots = torch_device.type == "cpu"
        self._host = HostLane(threaded_host)
        self._started_ns = perf_counter_ns()
        self._loader = LoaderThread(self.now_ns)
        self._stall_ns = 0
        self._in_place_ns = 0
        self._last_use: dict[tuple[int, int], Any] = {}
        self._moved = {"link": 0, "host": 0}
        self._arena: SlotArena | None = None

    def prepare(
        self, layout: SlotLayout, quantizer: Quantizer, source: ExpertSource | None, block_bytes: int = 0
    ) -> None:
        """See `Device`. Raises DeviceError in a replay: without weights there is nothing to execute."""
        if source is None:
            raise DeviceError(
                f"device={self.torch_device.type} runs real weights only; replay a trace with device=sim"
            )
        self._arena = SlotArena(layout, quantizer, self.torch_device)
        self._layouts = layout.layouts
        self._quantizer = quantizer
        self._source = source
        self._block_bytes = block_bytes

    def begin_pass(self, tokens: int, context: int) -> None:
        """Nothing to charge."""

    def begin_layer(self, layer: int, tokens: int, context: int) -> None:
        """Nothing to charge."""

    def load(self, copy: Copy) -> None:
        """See `Device`."""
        self._source.expect((copy.key,))
        transfer = Transfer(copy, self._blocks(copy), copy.urgent)
        copy.handle = transfer
        if self._layouts[copy.key.level].nbytes > self._in_place:
            self._loader.queue(transfer)
            return
        start = perf_counter_ns()
        self._loader.move_now(transfer)
        self._in_place_ns += perf_counter_ns() - start

    def hurry(self, copy: Copy) -> None:
        """See `Device`."""
        self._loader.hurry(copy.handle)

    def cancel(self, copy: Copy) -> None:
        """See `Device`."""
        self._loader.cancel(copy.handle)

    def run(self, layer: int, jobs: Sequence[Job], payload: ExpertPayload | None) -> None:
        """See `Device`."""
        if payload is None:
            return
        arena = self._slots()
        for job in jobs:
            payload.compute(job.key.expert, arena.tensors(job.key.level, job.slot))
        fence = self._link.fence()
        for job in jobs:
            self._last_use[job.key.level, job.slot] = fence

    def run_host(self, layer: int, jobs: Sequence[Job], payload: ExpertPayload | None) -> None:
        """See `Device`. The payload gets host tensors and takes its activations there and back."""
        if payload is None or not jobs:
            return

        def work() -> None:
            for job in jobs:
                self._run_from_store(job.key, payload)

        self._source.expect([job.key for job in jobs])
        self._host.start(work, self._link.same_queue())

    def wait(self, copies: Sequence[Copy]) -> int:
        """See `Device`. Copies made in place since the last call count here."""
        lost = self._loader.wait(copies) + self._in_place_ns
        self._in_place_ns = 0
        self._stall_ns += lost
        return lost

    def end_layer(self, layer: int) -> int:
        """See `Device`."""
        lost = self._host.join()
        self._stall_ns += lost
        return lost

    def end_pass(self, tokens: int) -> None:
        """Wait for what is still being computed, so that the clock can be read."""
        self._link.finish()

    def now_ns(self) -> int:
        """See `Device`: the wall clock since the device was built."""
        return perf_counter_ns() - self._started_ns

    def report(self) -> DeviceReport:
        """See `Device`. Streams: "link" moves blobs to slots, "host" runs experts from the store."""
        return DeviceReport(
            simulated=False,
            now_ns=self.now_ns(),
            stall_ns=self._stall_ns,
            busy_ns={"link": self._loader.busy_ns, "host": self._host.busy_ns},
            moved_bytes=dict(self._moved),
        )

    def close(self) -> None:
        """See `Device`; safe to call again."""
        self._loader.close()
        self._host.close()
        self._arena = None

    def _slots(self) -> SlotArena:
        if self._arena is None:
            raise DeviceError("the device has no slots: it was closed, or never prepared; build a new one")
        return self._arena

    def _run_from_store(self, key: ExpertKey, payload: ExpertPayload) -> None:
        """Run one expert where the store has it."""
        blob = self._source.blob(key)
        try:
            self._moved["host"] += blob.numel()
            payload.compute(key.expert, self._quantizer.decode(blob, self._layouts[key.level]))
        finally:
            self._source.release(key)

    def _blocks(self, copy: Copy) -> Generator[int, None, None]:
        """Move the copy a block at each step; yields the bytes that remain."""
        target = self._slots().blob(copy.key.level, copy.slot)
        self._link.begin(self._last_use.get((copy.key.level, copy.slot)))
        if self._host_slots and not self._block_bytes:
            self._source.read(copy.key, target)
            self._moved["link"] += target.numel()
            yield 0
            return
        source = self._source.blob(copy.key)
        try:
            yield from self._move(target, source)
        finally:
            self._source.release(copy.key)

    def _move(self, target: torch.Tensor, source: torch.Tensor) -> Generator[int, None, None]:
        size = target.numel()
        step = self._block_bytes or size
        for start in range(0, size, step):
            stop = min(start + step, size)
            self._link.move(target[start:stop], source[start:stop])
            self._moved["link"] += stop - start
            yield size - stop
