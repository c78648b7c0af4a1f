"""Copies to an Apple GPU."""

from __future__ import annotations

import torch

from hobbit_devices.link import Link


class MpsLink(Link):
    """Synchronous copies, in the order of the one stream that torch's MPS backend has."""

    def finish(self) -> None:
        """Synchronise the stream."""
        torch.mps.synchronize()
