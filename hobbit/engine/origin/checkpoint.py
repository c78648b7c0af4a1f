"""CheckpointOrigin: the experts are read from a checkpoint's files, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from hobbit.api import BlobLayout, Quantizer, RoutingShape, TensorSpec
from hobbit.engine.origin.origin import Opened, ReadExpert
from hobbit.engine.reader import CheckpointReader
from hobbit.errors import BudgetError
from hobbit.host_plan import HostRequest, plan_host
from hobbit.sizes import format_size
from hobbit.store import MemoryStore, fill_store


class CheckpointOrigin:
    """An `Origin` for the checkpoint in `folder`, whose experts have these `specs`. Their files cannot be
    served from: what a run needs is encoded into host memory, never more than one expert beside it."""

    def __init__(
        self, folder: Path, dtype: torch.dtype | None, shape: RoutingShape, specs: dict[str, TensorSpec]
    ) -> None:
        self.folder = folder
        self._dtype = dtype
        self._shape = shape
        self._specs = specs

    def specs(self) -> dict[str, TensorSpec]:
        """See `Origin`."""
        return dict(self._specs)

    @contextmanager
    def reading(self) -> Iterator[ReadExpert]:
        """See `Origin`."""
        with CheckpointReader(self.folder, self._dtype, drop=True) as reader:
            yield reader.expert

    def open(
        self, quantizer: Quantizer, layouts: Sequence[BlobLayout], request: HostRequest, pin: bool
    ) -> Opened:
        """See `Origin`. Raises BudgetError, and names the command that helps, where not all of them fit."""
        precisions = [layout.precision for layout in layouts]
        try:
            plan = plan_host(replace(request, placed=False), layouts, self._shape)
        except BudgetError as error:
            raise BudgetError(f"{error}; or {self._advice(precisions)}") from None
        if not plan.whole:
            everything = plan.rows * sum(layout.nbytes for layout in layouts)
            raise BudgetError(
                f"memory.host={format_size(plan.budget)} cannot hold the {format_size(everything)} of "
                f"experts of {self.folder}, and a checkpoint's files cannot be served from; "
                f"{self._advice(precisions)}"
            )
        store = MemoryStore(layouts, self._shape, pin)
        with self.reading() as read:
            fill_store(store, quantizer, precisions, read)
        return Opened(store, plan)

    def _advice(self, precisions: Sequence[str]) -> str:
        bundle = f"{self.folder}-bundle"
        return (
            f"convert it once with `hobbit task=convert model={self.folder} "
            f"precisions=[{','.join(precisions)}] out={bundle}`, then run model={bundle}"
        )
