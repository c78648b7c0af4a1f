"""Whether the pages of the store are locked, as copies at the link's speed need them to be."""

from __future__ import annotations

from hobbit.api import ExpertKey, ExpertSource, RoutingShape, SlotLayout
from hobbit.sizes import format_size
from hobbit_devices.gpu_streams import GpuStreams


class LockedPages:
    """Tells `notes` what copies from pages that the system refused to lock will cost."""

    def __init__(self, shape: RoutingShape, notes: list[str]) -> None:
        self._shape = shape
        self._notes = notes

    def check(self, layout: SlotLayout, source: ExpertSource, streams: GpuStreams) -> None:
        """Look at every blob that is in host memory now."""
        unlocked = total = 0
        for level, blob in enumerate(layout.layouts):
            for layer in range(self._shape.layers):
                for expert in range(self._shape.experts):
                    key = ExpertKey(layer, expert, level)
                    if source.at_hand(key):
                        total += blob.nbytes
                        unlocked += 0 if _is_direct(key, source, streams) else blob.nbytes
        if unlocked:
            self._notes.append(
                f"the system locks no more host memory: {format_size(unlocked)} of {format_size(total)} of "
                "experts pass through small locked buffers, at a core's memcpy speed instead of the link's; "
                "raise the limit (ulimit -l, or the container's) for full speed"
            )


def _is_direct(key: ExpertKey, source: ExpertSource, streams: GpuStreams) -> bool:
    source.expect((key,))
    direct = streams.direct(source.blob(key))
    source.release(key)
    return direct
