"""What moving and running an expert costs, for policies that weigh one against the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

CASES = 4096
"""Shares that are remembered at most."""


class CostModel(Protocol):
    """Nanoseconds from the device's numbers: constant in a run, so that decisions do not follow the clock,
    unless runs may differ (`deterministic=false`). Where they change, an attribute `revision` goes up.
    Where the device reads experts in place beside whatever else it runs, an attribute `reads_beside` is True.
    """

    def copy_ns(self, level: int) -> int:
        """Bring one expert's blob of this level to the device, on an idle link."""
        ...

    def device_ns(self, level: int, tokens: int) -> int:
        """Run one resident expert on `tokens` tokens."""
        ...

    def host_ns(self, level: int, tokens: int) -> int:
        """Run one expert on the host on `tokens` tokens, activations there and back included."""
        ...

    def in_place_ns(self, level: int, tokens: int) -> int | None:
        """Run one expert on the device, read over the link where it lies in the host's memory, for a layer of
        `tokens` tokens; None if this device does not."""
        ...


def host_is_faster(costs: CostModel, level: int, tokens: int) -> bool:
    """Whether a missing expert runs sooner on the host than copied and run on the device."""
    return costs.host_ns(level, tokens) < costs.copy_ns(level) + costs.device_ns(level, tokens)


def host_share(hosted_ns: int, in_place_ns: int, busy_ns: int = 0) -> float:
    """The part of each missing expert's units that the host takes, so that host and device end soonest.

    All of them would take `hosted_ns` on the host and `in_place_ns` on the device, which has `busy_ns` of
    other work besides. In [0, 1].
    """
    return min(1.0, (in_place_ns + busy_ns) / max(1, hosted_ns + in_place_ns))


def layer_share(
    costs: CostModel, tokens: int, hits: Sequence[int], misses: Sequence[tuple[int, int]]
) -> float | None:
    """`host_share` for all misses of a layer of `tokens` tokens; None if one cannot be read in place.

    `hits` are the levels of what the device has, `misses` levels and tokens of what it has not.
    """
    in_place = [costs.in_place_ns(level, tokens) for level, _ in misses]
    if None in in_place:
        return None
    hosted = sum(costs.host_ns(level, count) for level, count in misses)
    beside = getattr(costs, "reads_beside", False)
    busy = 0 if beside else sum(costs.device_ns(level, tokens) for level in hits)
    return host_share(hosted, sum(filter(None, in_place)), busy)


class LayerShares:
    """`layer_share` by `costs`, worked out once a case until they change; one token's cases are a handful."""

    def __init__(self, costs: CostModel) -> None:
        self._costs = costs
        self._revision = 0
        self._known: dict[tuple[object, ...], float | None] = {}

    def __call__(
        self, tokens: int, hits: tuple[int, ...], misses: tuple[tuple[int, int], ...]
    ) -> float | None:
        """See `layer_share`."""
        revision = getattr(self._costs, "revision", 0)
        if revision != self._revision or len(self._known) >= CASES:
            self._revision = revision
            self._known.clear()
        case = tokens, hits, misses
        if case not in self._known:
            self._known[case] = layer_share(self._costs, tokens, hits, misses)
        return self._known[case]


def least_maximum(hosted_ns: Sequence[int], copied_ns: Sequence[int], busy_ns: int = 0) -> int:
    """How many of m missing experts the host takes, the first ones, so that both sides end soonest.

    `hosted_ns[i]` and `copied_ns[i]` are what expert i takes on either side, `busy_ns` what the copying side
    has to do besides. Ties go to fewer on the host, since a copy may serve again.
    """
    host = accumulate(hosted_ns, initial=0)
    copies = sum(copied_ns)
    left = (busy_ns + copies - done for done in accumulate(copied_ns, initial=0))
    ends = [max(pair) for pair in zip(host, left, strict=True)]
    return ends.index(min(ends))
