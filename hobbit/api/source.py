"""Seam: where a device gets the experts' blobs from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from hobbit.types import ExpertKey

if TYPE_CHECKING:
    import torch

    from hobbit.api.device import DeviceReport


class ExpertSource(Protocol):
    """The expert store, as a device sees it; any thread may call it.

    A device says `expect` on the runtime's thread when a copy is queued, and later, on whichever thread moves
    it, either `read`, or `blob` and then `release`. Blobs that lie in memory cost nothing to ask for; a disk
    behind the store makes both calls wait.
    """

    def blob(self, key: ExpertKey) -> torch.Tensor:
        """The blob of one expert copy: uint8 [nbytes], host memory, 64-byte aligned; not to be written to.

        Waits until it is in host memory, where it stays until `release`. Raises ModelError if the store lacks
        it, StoreError if it cannot be read or fails its checksum.
        """
        ...

    def at_hand(self, key: ExpertKey) -> bool:
        """Whether `blob` would give this one now, without waiting for a disk."""
        ...

    def release(self, key: ExpertKey) -> None:
        """The blob is used no more: one call for each call of `blob`, once copies from it have ended."""
        ...

    def read(self, key: ExpertKey, target: torch.Tensor) -> None:
        """Fill `target`, uint8 [nbytes] in host memory, with the blob; needs no `release`.

        For devices whose slots are host memory: from a disk it goes straight into a target that starts on a
        page. Raises as `blob`; the target's content is undefined then.
        """
        ...

    def expect(self, keys: Sequence[ExpertKey]) -> None:
        """These will be asked for soon, in this order: what is to be kept is decided by these calls alone,
        and reading ahead may start. A key that is not asked for after all does no harm."""
        ...

    def add_streams(self, report: DeviceReport) -> None:
        """Add the busy time and the bytes of the store's own streams, such as "disk", to a report."""
        ...

    def close(self) -> None:
        """Give threads, files and memory back; the blobs are not used afterwards. Safe to call again."""
        ...
