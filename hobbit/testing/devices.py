"""What every device must keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from unittest import SkipTest

import numpy as np
import torch

from hobbit.api import (
    Copy,
    Device,
    DeviceComponent,
    DeviceReport,
    ExpertKey,
    ExpertPayload,
    Job,
    Quantizer,
    Routing,
    SlotLayout,
)
from hobbit.api.quantizer import NATIVE
from hobbit.plugins import discover
from hobbit.testing.quantizers import random_expert
from hobbit.testing.requirement import require
from hobbit.testing.scene import Scene

_EXPERTS = 3
"""Experts of each layer that the script uses: as many as the smallest geometry has."""

_BLOCKS = (0, 4096)
"""Bytes after which a copy may be interrupted; 0: never."""


def check_device(component: DeviceComponent, scene: Scene) -> None:
    """A scripted run finds the right weights in every slot, and reports that only grow.

    The script loads, prefetches, hurries, cancels, overwrites and runs on the host. A simulated device
    charges a replay without weights exactly what it charges the live run.

    Raises:
        ContractError: if a rule is broken.
        unittest.SkipTest: if the device is not here.
    """
    absent = component.available()
    if absent is not None:
        raise SkipTest(f"device {component.name}: {absent}")
    require(component.capacity_bytes() > 0, "a device has memory")
    for block_bytes in _BLOCKS:
        live = _Script(component, scene, live=True).play(block_bytes)
        if live.simulated:
            replay = _Script(component, scene, live=False).play(block_bytes)
            require(live == replay, f"live and replay charge the same: {live} and {replay}")


class _Blobs:
    """An ExpertSource of random experts, which counts what is asked for."""

    def __init__(self, scene: Scene, quantizer: Quantizer) -> None:
        specs = scene.geometry.expert_tensors()
        keys = [ExpertKey(layer, expert, 0) for layer in (0, 1) for expert in range(_EXPERTS)]
        self.tensors = {key: random_expert(specs, seed) for seed, key in enumerate(keys)}
        self._blobs = {key: quantizer.encode(tensors, NATIVE) for key, tensors in self.tensors.items()}
        self._expected: Counter[ExpertKey] = Counter()
        self.lent: Counter[ExpertKey] = Counter()

    def blob(self, key: ExpertKey) -> torch.Tensor:
        """Native blob, on the CPU."""
        self._take(key)
        self.lent[key] += 1
        return self._blobs[key]

    def at_hand(self, key: ExpertKey) -> bool:
        """All that there are are in memory."""
        return key in self._blobs

    def release(self, key: ExpertKey) -> None:
        """One call for each `blob`."""
        self.lent[key] -= 1

    def read(self, key: ExpertKey, target: torch.Tensor) -> None:
        """Native blob into `target`."""
        self._take(key)
        target.copy_(self._blobs[key])

    def expect(self, keys: Sequence[ExpertKey]) -> None:
        """Counts them."""
        self._expected.update(keys)

    def add_streams(self, report: DeviceReport) -> None:
        """There are none."""

    def close(self) -> None:
        """There is nothing to close."""

    def _take(self, key: ExpertKey) -> None:
        require(self._expected[key] > 0, f"the source is told of {key} before it is asked for it")
        self._expected[key] -= 1


class _Payload:
    """Checks that each expert runs once, with its own weights; its maths is no kernel's."""

    activation = None
    hidden = torch.zeros(1, 1)
    weights = torch.zeros(1, 1)
    experts = np.zeros((1, 1), np.int64)
    host_hidden = None
    host_weights = np.zeros((1, 1), np.float32)
    recorded = None

    def __init__(self, blobs: _Blobs, layer: int) -> None:
        self._blobs = blobs
        self._layer = layer
        self.ran: list[int] = []

    def compute(self, expert: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Compare the weights bit for bit."""
        right = self._blobs.tensors[ExpertKey(self._layer, expert, 0)]
        for name, tensor in right.items():
            same = torch.equal(tensors[name].cpu(), tensor)
            require(same, f"expert {expert} of layer {self._layer} ran with the wrong {name}")
        self.ran.append(expert)

    def deliver(self, served: int) -> torch.Tensor:
        """Nothing is delivered where no kernel can know the maths."""
        raise AssertionError("the payload's maths is no kernel's")

    def skip(self, expert: int) -> None:
        """The script skips nothing."""

    def proceed(self) -> None:
        """The script has nothing behind the layer."""

    def reroute(self, routing: Routing, weights: torch.Tensor | None = None) -> None:
        """The script does not change the routing."""


class _Script:
    """Two passes through two layers with two slots, one of which is filled before."""

    def __init__(self, component: DeviceComponent, scene: Scene, live: bool) -> None:
        context = scene.context(levels=1)
        quantizer = discover().registry.get("quantizer", "none")().build(context)
        layout = quantizer.layout(scene.geometry.expert_tensors(), NATIVE)
        context.blob_bytes = (layout.nbytes,)
        self._device: Device = component.build(context)
        self._layout = SlotLayout((2,), (layout,))
        self._quantizer = quantizer
        self._blobs = _Blobs(scene, quantizer) if live else None
        self._last = self._device.report()

    def play(self, block_bytes: int) -> DeviceReport:
        """Run the script; returns the last report."""
        device = self._device
        require(isinstance(getattr(device, "queues", None), bool), "`queues` says if calls only queue")
        device.prepare(self._layout, self._quantizer, self._blobs, block_bytes)
        first, early = self._copy(0, 0, slot=0), self._copy(1, 0, slot=1, urgent=False)
        wrong, right = self._copy(1, 1, slot=0, urgent=False), self._copy(1, 2, slot=0)

        placed = self._copy(0, 1, slot=0)
        device.load(placed)
        device.wait([placed])
        device.begin_pass(4, 0)
        self._layer(0, [first, early], [first], host=1)
        # The prefetch of slot 1 is now demanded; slot 0 was promised to one expert and goes to another.
        device.begin_layer(1, 4, 0)
        device.load(wrong)
        device.hurry(early)
        device.cancel(wrong)
        device.load(right)
        self._run(1, [early, right], host=1)
        device.end_pass(4)
        self._check_report()

        device.begin_pass(1, 4)
        again = self._copy(0, 2, slot=1)
        self._layer(0, [again], [again], host=None)
        self._layer(1, [], [right], host=None)
        device.end_pass(1)
        self._check_report()
        device.close()
        if self._blobs is not None:
            lent = {key: count for key, count in self._blobs.lent.items() if count}
            require(not lent, f"every blob is released once: {lent}")
        return self._last

    def _copy(self, layer: int, expert: int, slot: int, urgent: bool = True) -> Copy:
        return Copy(ExpertKey(layer, expert, 0), slot, urgent, self._layout.layouts[0].nbytes)

    def _layer(self, layer: int, loads: list[Copy], runs: list[Copy], host: int | None) -> None:
        self._device.begin_layer(layer, 4, 0)
        for copy in loads:
            self._device.load(copy)
        self._run(layer, runs, host)

    def _run(self, layer: int, copies: list[Copy], host: int | None) -> None:
        """Wait for the copies, run them, and expert `host` beside them on the host."""
        checked = _Payload(self._blobs, layer) if self._blobs is not None else None
        payload: ExpertPayload | None = checked
        wanted = [copy.key.expert for copy in copies]
        if host is not None:
            self._device.run_host(layer, [Job(ExpertKey(layer, host, 0), -1, 1)], payload)
            wanted.append(host)
        require(self._device.wait(copies) >= 0, "waiting takes no negative time")
        require(all(copy.done for copy in copies), "a copy that was waited for is done")
        self._device.run(layer, [Job(copy.key, copy.slot, 1) for copy in copies], payload)
        require(self._device.end_layer(layer) >= 0, "joining the host takes no negative time")
        if checked is not None:
            require(sorted(checked.ran) == sorted(wanted), f"experts {wanted} were to run, {checked.ran} did")
        self._check_report()

    def _check_report(self) -> None:
        """Every figure is at least what it was."""
        old, new = self._last, self._device.report()
        require(
            new.simulated == self._device.simulated, "the report and the device agree on what is simulated"
        )
        require(new.now_ns >= old.now_ns and new.stall_ns >= old.stall_ns, f"time went back: {old}, {new}")
        for name in ("busy_ns", "moved_bytes"):
            before, after = getattr(old, name), getattr(new, name)
            require(
                all(after.get(key, -1) >= value for key, value in before.items()),
                f"{name} fell: {old}, {new}",
            )
        self._last = new
