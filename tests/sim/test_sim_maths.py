"""The simulated device computes with what each slot holds by order of calls, whatever the clock says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from hobbit_devices.simulator import Simulator
from hobbit_quantizers.quanto import QuantoQuantizer

from hobbit.api import BlobLayout, Context, DeviceReport, ExpertKey, Records, Routing, SlotLayout, TensorSpec
from tests.sim.devices import CARD, MODEL, context, copy, job

TENSORS = {"gate_up_proj": TensorSpec((128, 64), "float32"), "down_proj": TensorSpec((64, 64), "float32")}
QUANTIZER = QuantoQuantizer().build(Context(MODEL, ("native", "int4"), (), Records(MODEL.shape)))
LAYOUTS = (QUANTIZER.layout(TENSORS, "native"), QUANTIZER.layout(TENSORS, "int4"))


def weights(key: ExpertKey) -> dict[str, torch.Tensor]:
    seed = torch.Generator().manual_seed(key.layer * 8 + key.expert)
    return {name: torch.randn(spec.shape, generator=seed) for name, spec in TENSORS.items()}


class Store:
    """Blobs made on demand."""

    def blob(self, key: ExpertKey) -> torch.Tensor:
        layout: BlobLayout = LAYOUTS[key.level]
        return QUANTIZER.encode(weights(key), layout.precision)

    def release(self, key: ExpertKey) -> None:
        return

    def read(self, key: ExpertKey, target: torch.Tensor) -> None:
        target.copy_(self.blob(key))

    def expect(self, keys: Sequence[ExpertKey]) -> None:
        return

    def add_streams(self, report: DeviceReport) -> None:
        return

    def close(self) -> None:
        return


class Seen:
    """Keeps a copy of the tensors that each expert was computed with."""

    def __init__(self) -> None:
        self.tensors: dict[int, dict[str, torch.Tensor]] = {}

    def compute(self, expert: int, tensors: Mapping[str, torch.Tensor]) -> None:
        self.tensors[expert] = {name: tensor.clone() for name, tensor in tensors.items()}

    def skip(self, expert: int) -> None:
        raise AssertionError("nothing was skipped")

    def reroute(self, routing: Routing, weights: torch.Tensor | None = None) -> None:
        raise AssertionError("nothing was rerouted")


def live() -> Simulator:
    device = CARD.build(context())
    device.prepare(SlotLayout((2, 2), LAYOUTS), QUANTIZER, Store())
    device.begin_layer(0, 1, 0)
    return device


def same(seen: Mapping[str, torch.Tensor], key: ExpertKey) -> bool:
    layout = LAYOUTS[key.level]
    wanted = QUANTIZER.decode(QUANTIZER.encode(weights(key), layout.precision), layout)
    return all(torch.equal(seen[name], wanted[name]) for name in TENSORS)


def test_each_level_computes_with_its_own_copy() -> None:
    device, seen = live(), Seen()
    high, low = copy(0), copy(1, level=1)
    for one in (high, low):
        one.slot = 1
        device.load(one)
    device.wait([high, low])
    device.run(0, [job(0, slot=1), job(1, slot=1, level=1)], seen)
    assert same(seen.tensors[0], high.key)
    assert same(seen.tensors[1], low.key)


def test_a_slot_holds_its_last_copy_though_an_older_one_was_cancelled() -> None:
    device, seen = live(), Seen()
    first, second = copy(0, urgent=False), copy(1)
    first.slot = second.slot = 0
    device.load(first)
    device.run(0, [], None)
    device.cancel(first)
    device.load(second)
    device.wait([second])
    device.run(0, [job(1, slot=0)], seen)
    assert same(seen.tensors[1], second.key)


def test_the_host_computes_from_the_store() -> None:
    device, seen = live(), Seen()
    device.run_host(0, [job(3, slot=-1), job(4, slot=-1, level=1)], seen)
    assert device.end_layer(0) > 0
    assert same(seen.tensors[3], ExpertKey(0, 3, 0))
    assert same(seen.tensors[4], ExpertKey(0, 4, 1))


def test_maths_does_not_move_the_clock() -> None:
    with_maths, without = live(), CARD.build(context())
    without.begin_layer(0, 1, 0)
    for device in (with_maths, without):
        demand = copy(0)
        demand.slot = 0
        device.load(demand)
        device.wait([demand])
        device.run(0, [job(0)], Seen() if device is with_maths else None)
        device.end_layer(0)
    assert with_maths.report() == without.report()
