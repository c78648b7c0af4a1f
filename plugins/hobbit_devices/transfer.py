"""A transfer: one copy of a blob into its slot, as far as it has been queued."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hobbit.api import Copy
from hobbit.errors import HobbitError
from hobbit_devices.gpu_streams import Mark

if TYPE_CHECKING:
    import torch


@dataclass(slots=True, eq=False)
class Transfer:
    """`queued` of `target`'s bytes are in the copy queue; `arrived` marks the last of them.

    `order` is its place among those that are in the queue whole. `reader` marks the slot's last reader, which
    no byte may overtake (None: there was none). `blob` is what the source has lent, from the first byte on;
    `failure` is for whoever waits.
    """

    copy: Copy
    target: torch.Tensor
    reader: Mark | None = None
    urgent: bool = False
    dropped: bool = False
    queued: int = 0
    blob: torch.Tensor | None = None
    arrived: Mark | None = None
    order: int = 0
    failure: HobbitError | None = None

    @property
    def left(self) -> int:
        """Bytes that are not in the queue yet."""
        return self.target.numel() - self.queued
