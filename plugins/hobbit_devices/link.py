"""How bytes get from the store to a slot on the backends whose copies finish before they return."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


class Link:
    """Plain synchronous copies. A backend with streams overrides what differs."""

    def fence(self) -> Any:
        """Called on the computing thread after experts ran: marks work that may still read their slots."""
        return None

    def begin(self, fence: Any) -> None:
        """Called before the first block of a copy: hold its blocks back until the slot's last reader, as
        `fence` marked it (None: there was none), is done."""
        return

    def move(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Copy one block, uint8 [n]; returns when it has arrived."""
        target.copy_(source)

    def finish(self) -> None:
        """Wait for all work that the computing thread has queued so far."""
        return

    def same_queue(self) -> AbstractContextManager[Any]:
        """For a second thread: puts its work in the order of the thread that called this."""
        return nullcontext()
