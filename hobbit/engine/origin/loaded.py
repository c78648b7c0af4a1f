"""LoadedOrigin: the experts are the model's own parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hobbit.api import BlobLayout, Quantizer, RoutingShape, TensorSpec
from hobbit.engine.anatomy import MoELayer
from hobbit.engine.origin.origin import Opened, ReadExpert
from hobbit.engine.weights import expert_tensors
from hobbit.errors import BudgetError
from hobbit.host_plan import HostRequest
from hobbit.sizes import format_size, parse_budget
from hobbit.store import MemoryStore, fill_store


class LoadedOrigin:
    """An `Origin` for the MoE `layers` of a model in memory. Read it before the weights leave the model."""

    def __init__(self, layers: Sequence[MoELayer]) -> None:
        self._layers = layers
        self._shape = RoutingShape(len(layers), layers[0].expert_count, layers[0].top_k)

    def specs(self) -> dict[str, TensorSpec]:
        """See `Origin`."""
        return {
            name: TensorSpec(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
            for name, tensor in expert_tensors(self._layers[0], 0).items()
        }

    @contextmanager
    def reading(self) -> Iterator[ReadExpert]:
        """See `Origin`: views of the parameters."""
        yield lambda layer, expert: expert_tensors(self._layers[layer], expert)

    def open(
        self, quantizer: Quantizer, layouts: Sequence[BlobLayout], request: HostRequest, pin: bool
    ) -> Opened:
        """See `Origin`: all in host memory, since no disk has them."""
        everything = self._shape.layers * self._shape.experts * sum(layout.nbytes for layout in layouts)
        if request.limit != "auto" and parse_budget(request.limit, "memory.host") < everything:
            raise BudgetError(
                f"memory.host={request.limit} cannot hold the {format_size(everything)} of experts of a "
                "model that is in memory already; open it from a bundle, or give more"
            )
        store = MemoryStore(layouts, self._shape, pin)
        with self.reading() as read:
            fill_store(store, quantizer, [layout.precision for layout in layouts], read)
        return Opened(store, None)
