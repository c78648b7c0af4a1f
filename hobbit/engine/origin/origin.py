"""Origin: the experts of a model before a run has them in a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import torch
from transformers import PreTrainedModel

from hobbit.api import BlobLayout, Quantizer, TensorSpec
from hobbit.host_plan import HostPlan, HostRequest
from hobbit.store import MemoryStore, TieredStore

ReadExpert = Callable[[int, int], Mapping[str, torch.Tensor]]
"""The tensors of one expert, by layer and number, in blob order."""

_ORIGIN = "hobbit_origin"


class Opened(NamedTuple):
    """A store with the experts of a model; `host` says what of the host's memory it takes, if that was
    planned; `notes` are for the user."""

    store: MemoryStore | TieredStore
    host: HostPlan | None
    notes: tuple[str, ...] = ()


class Origin(Protocol):
    """Gives the experts, as often as they are asked for."""

    def specs(self) -> dict[str, TensorSpec]:
        """Name, shape and dtype of one expert's tensors, in blob order."""
        ...

    def reading(self) -> AbstractContextManager[ReadExpert]:
        """A way to read single experts, as precise as they are to be had. Raises ModelError, StoreError."""
        ...

    def open(
        self, quantizer: Quantizer, layouts: Sequence[BlobLayout], request: HostRequest, pin: bool
    ) -> Opened:
        """Every expert at each layout's precision, in a store within the host's memory.

        Raises:
            ConfigError: if a precision is not to be had.
            BudgetError: if the host's memory does not suffice.
            ModelError, StoreError: if an expert cannot be read.
        """
        ...


def remember_origin(model: PreTrainedModel, origin: Origin) -> None:
    """`model` is without its experts from the start: they come from `origin`."""
    model.__dict__[_ORIGIN] = origin


def origin_of(model: PreTrainedModel) -> Origin | None:
    """Where the experts of a model come from that was opened without them; None: it has them itself."""
    origin: Origin | None = model.__dict__.get(_ORIGIN)
    return origin
