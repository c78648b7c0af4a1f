"""LiveExperts: the experts of a model, encoded in a store, and decoded from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from hobbit.api import HIGH, BlobLayout, ExpertKey, ExpertSource, Quantizer, TensorSpec
from hobbit.api.quantizer import LOSSLESS
from hobbit.engine.anatomy import MoELayer
from hobbit.engine.origin import LoadedOrigin, Origin
from hobbit.errors import ModelError
from hobbit.host_plan import HostPlan, HostRequest
from hobbit.store import MemoryStore, TieredStore


class LiveExperts:
    """Meets `hobbit.assembly.LiveExperts` for the MoE `layers` of a model.

    Without an `origin` the experts are the model's own, and must still be in it when `source` encodes them.
    `pin` locks the store's pages, which copies to a CUDA device need to run at the link's speed.
    """

    def __init__(self, layers: Sequence[MoELayer], pin: bool = False, origin: Origin | None = None) -> None:
        self._origin = origin or LoadedOrigin(layers)
        self._pin = pin
        self._quantizer: Quantizer | None = None
        self._layouts: Sequence[BlobLayout] = ()
        self._store: MemoryStore | TieredStore | None = None
        self.host: HostPlan | None = None
        self.notes: tuple[str, ...] = ()

    def specs(self) -> dict[str, TensorSpec]:
        """Name, shape and dtype of one expert's tensors, in blob order."""
        return self._origin.specs()

    def source(
        self, quantizer: Quantizer, layouts: Sequence[BlobLayout], request: HostRequest | None = None
    ) -> ExpertSource:
        """Every expert at each layout's precision, in a store that `tensors` and `native` read.

        `host` says afterwards what of the host's memory it takes, and `notes` what the user should know.
        """
        opened = self._origin.open(quantizer, layouts, request or HostRequest(), self._pin)
        self._quantizer, self._layouts, self._store = quantizer, layouts, opened.store
        self.host, self.notes = opened.host, opened.notes
        return opened.store

    def tensors(self, layer: int, expert: int, level: int = HIGH) -> Mapping[str, torch.Tensor]:
        """One expert as a run computes it at `level`, decoded from a copy of its blob.

        Raises:
            ModelError: before `source` was called.
            StoreError: if the blob cannot be read.
        """
        if self._store is None or self._quantizer is None:
            raise ModelError("the experts are not encoded yet; assemble a runtime first")
        key = ExpertKey(layer, expert, level)
        blob = self._store.blob(key)
        try:
            blob = blob.clone()
        finally:
            self._store.release(key)
        return self._quantizer.decode(blob, self._layouts[level])

    def native(self, layer: int, expert: int) -> Mapping[str, torch.Tensor] | None:
        """One expert bit for bit as the checkpoint has it, copied; None if no level is lossless."""
        for level, layout in enumerate(self._layouts):
            if layout.precision in LOSSLESS:
                return self.tensors(layer, expert, level)
        return None
