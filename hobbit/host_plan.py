"""The host's memory: what experts may take of it, and which of them fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hobbit.api import BlobLayout, RoutingShape, free_host_bytes
from hobbit.blob import stride_of
from hobbit.errors import BudgetError
from hobbit.sizes import format_size, parse_budget

MARGIN = 8
"""Where the budget is not given, one part in so many of the free memory is left alone."""


@dataclass(frozen=True, slots=True)
class HostRequest:
    """`limit` is memory.host as the user wrote it. `slots`: bytes that the device's own slots take of the
    same memory. `direct`: the device reads from the disk into its slots, so nothing need pass through the
    host's buffers. `placed`: there is a slot for every expert, and the host need keep none."""

    limit: str = "auto"
    slots: int = 0
    direct: bool = True
    placed: bool = False


@dataclass(frozen=True, slots=True)
class HostPlan:
    """`budget` bytes for `rows` experts, whose blobs take `strides` bytes at each level.

    Where `whole`, all of them lie in host memory. Otherwise `places` of every level do, and `spare` buffers
    of each level are for blobs that pass through.
    """

    budget: int
    rows: int
    strides: tuple[int, ...]
    whole: bool
    places: int
    spare: int

    @property
    def nbytes(self) -> int:
        """Bytes of host memory that will be taken."""
        return (self.places + self.spare) * sum(self.strides)

    def describe(self) -> list[tuple[str, int, str]]:
        """Rows for the budget table: what, bytes, a note."""
        stride = sum(self.strides)
        if self.whole:
            return [("host memory", self.nbytes, f"all {self.rows} experts")]
        return [
            ("host budget", self.budget, f"for {self.places} of {self.rows} experts; the rest is on disk"),
            ("experts, host", self.places * stride, f"{self.places} of each precision"),
            ("passing through", self.spare * stride, f"{self.spare} buffers of each precision"),
        ]


def plan_host(request: HostRequest, layouts: Sequence[BlobLayout], shape: RoutingShape) -> HostPlan:
    """Share out the host's memory among the experts of a model on disk.

    Raises:
        BudgetError: if the budget is more than there is, or cannot hold the blobs that pass through.
    """
    rows = shape.layers * shape.experts
    everything = rows * sum(layout.nbytes for layout in layouts)
    strides = tuple(stride_of(layout.nbytes) for layout in layouts)
    budget = _budget(request, everything)
    if everything <= budget and not request.placed:
        return HostPlan(budget, rows, tuple(layout.nbytes for layout in layouts), True, rows, 0)
    spare = 2 if request.direct else max(4, shape.top_k)
    through = spare * sum(strides)
    if budget < through:
        raise BudgetError(
            f"memory.host={format_size(budget)} cannot hold the {spare} experts of each precision that pass "
            f"through it at a time, {format_size(through)}; give at least {-(-through // 10**6)}MB"
        )
    places = 0 if request.placed else min((budget - through) // sum(strides), rows)
    return HostPlan(budget, rows, strides, False, places, spare)


def _budget(request: HostRequest, everything: int) -> int:
    free = max(free_host_bytes() - request.slots, 0)
    if request.limit == "auto":
        return free - free // MARGIN
    budget = parse_budget(request.limit, "memory.host")
    if min(budget, everything) > free:
        slots = f" beside the device's slots of {format_size(request.slots)}" if request.slots else ""
        raise BudgetError(
            f"memory.host={request.limit} is more than the {format_size(free)} that this machine has free"
            f"{slots}; give less, or close other programs"
        )
    return budget
