"""Filling a store: every expert, encoded at every precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch

from hobbit.api import ExpertKey, Quantizer, RoutingShape
from hobbit.errors import ConfigError


class BlobSink(Protocol):
    """Anything that keeps the blobs of a model of `shape`: memory now, a file later."""

    shape: RoutingShape

    def put(self, key: ExpertKey, blob: torch.Tensor) -> None:
        """Keep a copy of the blob, uint8 [nbytes]."""
        ...


def fill_store(
    store: BlobSink,
    quantizer: Quantizer,
    precisions: Sequence[str],
    tensors_of: Callable[[int, int], Mapping[str, torch.Tensor]],
) -> None:
    """Encode `tensors_of(layer, expert)` at each of `precisions`, which are the store's levels in order.

    Tensors are asked for once an expert, layer by layer, so that a caller may read them from a checkpoint
    as it goes. Raises ModelError if experts differ in size, ConfigError if a precision does not fit them.
    """
    for layer in range(store.shape.layers):
        for expert in range(store.shape.experts):
            tensors = tensors_of(layer, expert)
            for level, precision in enumerate(precisions):
                blob = encode_expert(quantizer, tensors, precision, f"expert {expert} of layer {layer}")
                store.put(ExpertKey(layer, expert, level), blob)


def encode_expert(
    quantizer: Quantizer, tensors: Mapping[str, torch.Tensor], precision: str, where: str
) -> torch.Tensor:
    """The blob of one expert, uint8 [nbytes]; a ConfigError of the quantizer says `where` it comes from."""
    try:
        return quantizer.encode(tensors, precision)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
