"""Small arrays for the device: a ring of rows in pinned memory, each with its twin on the device."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from hobbit_devices.gpu_streams import GpuStreams, Mark

ROWS = 64
MARKED = 16
"""Rows that share a mark behind their last use, set when the next row is asked for; rows are written again
once it has passed."""

WIDTH = 1024
"""Items of one row: what a layer's batch of a few tokens needs, many times over."""


class UploadRing:
    """Uploads int32 arrays for one compute queue, one queued copy each; or shows them where they are, which
    takes none. What `upload` gives is valid for `ROWS` - 1 further calls of either, what `show` gives for
    what is queued before the next one.

    Arrays wider than a row, those of prompts, share one buffer: the next such upload waits for the last.
    """

    def __init__(self, streams: GpuStreams, device: torch.device) -> None:
        self._streams = streams
        self.device = device
        self._host = streams.pinned((ROWS, WIDTH), torch.int32)
        self._rows = list(self._host.unbind())
        self._views = list(self._host.numpy())
        self._twins = list(torch.empty((ROWS, WIDTH), dtype=torch.int32, device=device).unbind())
        self._read: list[Mark] = [None] * (ROWS // MARKED)
        mapped = streams.mapped(self._host)
        self._mapped = None if mapped is None else list(mapped.view(torch.int32).view(ROWS, WIDTH).unbind())
        self._shown: dict[int, list[torch.Tensor]] = {}
        self._next = 0
        self._wide: torch.Tensor | None = None
        self._wide_read: Mark = None

    def upload(self, values: list[int] | npt.NDArray[np.int32]) -> torch.Tensor:
        """`values` [n] on the device, int32 [n]."""
        count = len(values)
        if count > WIDTH:
            return self._upload_wide(np.asarray(values, np.int32))
        place = self._written(values)
        twin = self._twins[place][:count]
        self._streams.upload(twin, self._rows[place][:count])
        return twin

    def show(self, values: list[int]) -> torch.Tensor:
        """`values` [n] for kernels that read all else over the link, too: int32 [n] in the host's memory,
        where kernels can read that, or else as `upload` gives them."""
        count = len(values)
        if self._mapped is None or count > WIDTH:
            return self.upload(values)
        views = self._shown.get(count)
        if views is None:
            views = self._shown[count] = [row[:count] for row in self._mapped]
        return views[self._written(values)]

    def _written(self, values: list[int] | npt.NDArray[np.int32]) -> int:
        """The next row, with these values in it; whoever read it last has."""
        place = self._next
        self._next = (place + 1) % ROWS
        if place % MARKED == 0:
            group = place // MARKED
            self._read[group - 1] = self._streams.computed()
            if (mark := self._read[group]) is not None:
                self._streams.join(mark)
        self._views[place][: len(values)] = values
        return place

    def _upload_wide(self, values: npt.NDArray[np.int32]) -> torch.Tensor:
        count = len(values)
        if self._wide_read is not None:
            self._streams.join(self._wide_read)
        if self._wide is None or len(self._wide) < count:
            self._wide = self._streams.pinned((1 << count.bit_length(),), torch.int32)
        host = self._wide[:count]
        host.numpy()[:] = values
        twin = torch.empty(count, dtype=torch.int32, device=self.device)
        self._streams.upload(twin, host)
        self._wide_read = self._streams.computed()
        return twin
