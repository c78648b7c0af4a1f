"""What moving and running an expert costs, for policies that weigh one against the other."""

from __future__ import annotations

from typing import Protocol


class CostModel(Protocol):
    """Nanoseconds from the device's numbers: constant in a run, so that decisions do not follow the clock."""

    def copy_ns(self, level: int) -> int:
        """Bring one expert's blob of this level to the device, on an idle link."""
        ...

    def device_ns(self, level: int, tokens: int) -> int:
        """Run one resident expert on `tokens` tokens."""
        ...

    def host_ns(self, level: int, tokens: int) -> int:
        """Run one expert on the host on `tokens` tokens, activations there and back included."""
        ...
