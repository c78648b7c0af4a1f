"""LiveExperts: the experts of a loaded model, encoded into a store, and decoded from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from hobbit.api import HIGH, BlobLayout, ExpertKey, ExpertSource, Quantizer, RoutingShape, TensorSpec
from hobbit.engine.anatomy import MoELayer
from hobbit.engine.weights import expert_tensors
from hobbit.errors import ModelError
from hobbit.store import MemoryStore, fill_store


class LiveExperts:
    """Meets `hobbit.assembly.LiveExperts` for the MoE `layers` of a model.

    The experts' weights must still be in the model when `source` encodes them. `pin` locks the store's
    pages, which copies to a CUDA device need to run at the link's speed.
    """

    def __init__(self, layers: Sequence[MoELayer], pin: bool = False) -> None:
        self._layers = layers
        self._shape = RoutingShape(len(layers), layers[0].expert_count, layers[0].top_k)
        self._pin = pin
        self._quantizer: Quantizer | None = None
        self._layouts: Sequence[BlobLayout] = ()
        self._store: MemoryStore | None = None

    def specs(self) -> dict[str, TensorSpec]:
        """Name, shape and dtype of one expert's tensors, in blob order."""
        return {
            name: TensorSpec(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
            for name, tensor in expert_tensors(self._layers[0], 0).items()
        }

    def source(self, quantizer: Quantizer, layouts: Sequence[BlobLayout]) -> ExpertSource:
        """Encode every expert at each layout's precision, into a store that `tensors` and `native` read."""
        store = MemoryStore(layouts, self._shape, self._pin)
        precisions = [layout.precision for layout in layouts]
        fill_store(
            store, quantizer, precisions, lambda layer, expert: expert_tensors(self._layers[layer], expert)
        )
        self._quantizer, self._layouts, self._store = quantizer, layouts, store
        return store

    def tensors(self, layer: int, expert: int, level: int = HIGH) -> Mapping[str, torch.Tensor]:
        """One expert as a run computes it at `level`, decoded from a copy of its blob.

        Raises:
            ModelError: before `source` was called.
            StoreError: if the blob cannot be read.
        """
        if self._store is None or self._quantizer is None:
            raise ModelError("the experts are not encoded yet; assemble a runtime first")
        key = ExpertKey(layer, expert, level)
        try:
            blob = self._store.blob(key).clone()
        finally:
            self._store.release(key)
        return self._quantizer.decode(blob, self._layouts[level])

    def native(self, layer: int, expert: int) -> Mapping[str, torch.Tensor] | None:
        """One expert bit for bit as the checkpoint has it; None if no level is native."""
        return None if self._store is None else self._store.native(layer, expert)
