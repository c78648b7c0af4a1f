"""A device that keeps a ledger: copies arrive when waited for; a job must find its expert in its slot."""

from __future__ import annotations

from collections.abc import Sequence

from hobbit.api import Copy, DeviceReport, ExpertKey, ExpertPayload, ExpertSource, Job, Quantizer, SlotLayout


class FlatCosts:
    """Every expert costs the same; the host is slower than the link."""

    def copy_ns(self, level: int) -> int:
        return 100

    def device_ns(self, level: int, tokens: int) -> int:
        return 10

    def host_ns(self, level: int, tokens: int) -> int:
        return 1000

    def in_place_ns(self, level: int, tokens: int) -> int | None:
        return None


class LedgerDevice:
    """Holds keys instead of weights, and fails when a slot is used before its copy has arrived."""

    simulated = True
    queues = False
    place = "cpu"

    def __init__(self) -> None:
        self.costs = FlatCosts()
        self.slots: dict[tuple[int, int], ExpertKey] = {}
        self.pending: dict[tuple[int, int], Copy] = {}
        self.ran: list[tuple[int, int]] = []
        self.calls: list[tuple[str, object]] = []
        self.layer = -1
        self.breaks = False

    def prepare(
        self, layout: SlotLayout, quantizer: Quantizer, source: ExpertSource | None, block_bytes: int = 0
    ) -> None:
        self.sizes = layout.slots

    def begin_pass(self, tokens: int, context: int) -> None:
        self.layer = -1

    def begin_layer(self, layer: int, tokens: int, context: int) -> None:
        assert layer == self.layer + 1
        self.layer = layer
        self.ran = []

    def load(self, copy: Copy) -> None:
        place = (copy.key.level, copy.slot)
        assert place not in self.pending, "a copy on its way was overwritten without being cancelled"
        self.slots[place] = copy.key
        self.pending[place] = copy
        self.calls.append(("load" if copy.urgent else "prefetch", copy.key))

    def hurry(self, copy: Copy) -> None:
        self.calls.append(("hurry", copy.key))

    def cancel(self, copy: Copy) -> None:
        assert self.pending.pop((copy.key.level, copy.slot)) is copy
        self.calls.append(("cancel", copy.key))

    def run(self, layer: int, jobs: Sequence[Job], payload: ExpertPayload | None) -> None:
        if self.breaks:
            raise RuntimeError("the device broke")
        for key, slot, tokens, _ in jobs:
            assert key.layer == layer == self.layer
            assert self.slots[key.level, slot] == key, "the slot holds another expert"
            assert (key.level, slot) not in self.pending, "the copy has not been waited for"
            self.ran.append((key.expert, tokens))
            self.calls.append(("run", key))

    def run_host(self, layer: int, jobs: Sequence[Job], payload: ExpertPayload | None) -> None:
        for key, slot, tokens, _ in jobs:
            assert slot == -1
            self.ran.append((key.expert, tokens))
            self.calls.append(("host", key))

    def wait(self, copies: Sequence[Copy]) -> int:
        for copy in copies:
            assert self.pending.pop((copy.key.level, copy.slot), copy) is copy
        return 100 * len(copies)

    def end_layer(self, layer: int) -> int:
        return 0

    def end_pass(self, tokens: int) -> None:
        return

    def now_ns(self) -> int:
        return 0

    def report(self) -> DeviceReport:
        return DeviceReport(True)

    def close(self) -> None:
        return
