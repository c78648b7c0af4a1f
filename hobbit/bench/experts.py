"""SyntheticExperts: a store of random experts, filled in seconds and shared by every policy of a bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter

import torch
from torch import nn
from transformers import PreTrainedModel

from hobbit.api import BlobLayout, DeviceReport, ExpertKey, ExpertSource, Geometry, Quantizer, TensorSpec
from hobbit.bench.model import SPREAD, synthetic_model
from hobbit.engine.anatomy import find_layers
from hobbit.host_plan import HostPlan, HostRequest
from hobbit.store import MemoryStore

DISTINCT = 4
"""Different experts that are drawn; every row of the store is a copy of one of them."""


class SyntheticExperts:
    """Meets `hobbit.assembly.LiveExperts`. Each precision is made once, when the first policy asks for it.

    Experts are drawn and encoded on `place`, and copied to the store's rows. Rows with equal content lie at
    different addresses: what is timed, copies and products over cold memory, does not see the difference.
    `seconds` is what making them took so far.
    """

    def __init__(self, geometry: Geometry, place: torch.device, pin: bool, seed: int = 0) -> None:
        self._geometry = geometry
        self._place = place
        self._pin = pin
        self._seed = seed
        self._stores: dict[BlobLayout, MemoryStore] = {}
        self.seconds = 0.0
        self.host: HostPlan | None = None
        self.notes: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Host bytes of all precisions made so far."""
        return sum(store.nbytes for store in self._stores.values())

    def specs(self) -> Mapping[str, TensorSpec]:
        """Name, shape and dtype of one expert's tensors, in blob order."""
        return self._geometry.expert_tensors()

    def source(
        self, quantizer: Quantizer, layouts: Sequence[BlobLayout], request: HostRequest
    ) -> ExpertSource:
        """The blobs at the precisions of `layouts`, made now where they are new; all in memory."""
        start = perf_counter()
        for layout in layouts:
            if layout not in self._stores:
                self._stores[layout] = self._filled(quantizer, layout)
        self.seconds += perf_counter() - start
        return PreparedSource([self._stores[layout] for layout in layouts])

    def drawn(self, number: int) -> dict[str, torch.Tensor]:
        """Expert `number` of the distinct ones, on the device it is drawn on."""
        generator = torch.Generator(self._place).manual_seed(self._seed * DISTINCT + number + 1)
        return {
            name: torch.empty(spec.shape, dtype=getattr(torch, spec.dtype), device=self._place).normal_(
                std=SPREAD, generator=generator
            )
            for name, spec in self.specs().items()
        }

    def _filled(self, quantizer: Quantizer, layout: BlobLayout) -> MemoryStore:
        shape = self._geometry.shape
        store = MemoryStore([layout], shape, self._pin)
        for number in range(DISTINCT):
            blob = quantizer.encode(self.drawn(number), layout.precision)
            for flat in range(number, shape.layers * shape.experts, DISTINCT):
                store.put(ExpertKey(*divmod(flat, shape.experts), 0), blob)
        return store


class PreparedSource:
    """An `ExpertSource` over one store a level, which outlive it."""

    def __init__(self, stores: Sequence[MemoryStore]) -> None:
        self._stores = stores

    def blob(self, key: ExpertKey) -> torch.Tensor:
        """See `ExpertSource`."""
        return self._stores[key.level].blob(ExpertKey(key.layer, key.expert, 0))

    def at_hand(self, key: ExpertKey) -> bool:
        """Everything is in memory."""
        return True

    def release(self, key: ExpertKey) -> None:
        """Nothing to give back: everything stays in memory."""

    def read(self, key: ExpertKey, target: torch.Tensor) -> None:
        """Copy the blob into `target`, uint8 [nbytes] on the host."""
        target.copy_(self.blob(key))

    def expect(self, keys: Sequence[ExpertKey]) -> None:
        """Nothing to read ahead."""

    def add_streams(self, report: DeviceReport) -> None:
        """No streams of its own."""

    def close(self) -> None:
        """The stores belong to the bench."""


def filled_model(
    geometry: Geometry, place: torch.device, experts_on: torch.device, positions: int
) -> PreTrainedModel:
    """A plain transformers model on `place` with weights for its experts too, which lie on `experts_on`."""
    model = synthetic_model(geometry, place, positions)
    experts = SyntheticExperts(geometry, place, pin=False)
    distinct = [experts.drawn(number) for number in range(DISTINCT)]
    for layer in find_layers(model):
        first = layer.index * layer.expert_count
        for name in layer.traits.names:
            shape = layer.experts.get_parameter(name).shape
            data = torch.empty(shape, dtype=distinct[0][name].dtype, device=experts_on)
            for expert in range(layer.expert_count):
                data[expert].copy_(distinct[(first + expert) % DISTINCT][name])
            setattr(layer.experts, name, nn.Parameter(data, requires_grad=False))
    return model
