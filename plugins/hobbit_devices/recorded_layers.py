"""RecordedLayers: layers whose experts are launched by a recording, in whatever slots they are by then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from hobbit_devices.gpu_streams import GpuStreams
from hobbit_devices.kernels import Kernels
from hobbit_devices.layer_pairs import Ints

NOBODY = -1
"""The slot of a row that no expert of this level fills, and the row of a choice that nobody computed."""


class RecordedLayers:
    """Meets `RecordedExperts` for one token with K experts; one buffer tells all layers what is asked.

    It is read when a recording is replayed, and filled before: `clear`, any of `put`, then `fill`. Kernels
    and order of addition are those of `FusedLayers`, hence the same bits. `outputs` [K, d] has a row for each
    pair; rows that others fill, with experts of the host, are left alone.
    """

    def __init__(
        self, kernels: Sequence[Kernels], streams: GpuStreams, like: torch.Tensor, top_k: int
    ) -> None:
        """`like` [1, d] is a hidden state: its dtype, width and device."""
        self._kernels = kernels
        self._streams = streams
        self._top_k = top_k
        count = (len(kernels) + 3) * top_k
        with torch.inference_mode(False):  # kept, and written to in and out of that mode
            self._there = torch.empty(count, dtype=torch.int32, device=like.device)
            self._tokens = torch.zeros(top_k, dtype=torch.int32, device=like.device)
            self.outputs = torch.zeros((top_k, like.shape[1]), dtype=torch.float32, device=like.device)
        self._host = streams.pinned((count,), torch.int32)
        self._values = self._host.numpy()
        self._slots = len(kernels) * top_k  # where the slots of all levels end
        self._weights = self._values[count - top_k :].view(np.float32)
        self._weights[:] = 0
        self.clear()
        self(like)  # kernels are compiled now: nothing may be loaded while others record

    def clear(self) -> None:
        """A layer begins: what was asked for is done."""
        self._values[: self._slots + 2 * self._top_k] = NOBODY

    def put(self, level: int, row: int, slots: Sequence[int]) -> None:
        """Let experts in these slots of a level fill the rows from `row` on."""
        first = level * self._top_k + row
        self._values[first : first + len(slots)] = slots

    def take(self) -> list[list[int]]:
        """The slots put down so far, [K] of each level, which the recording is to leave alone from now on."""
        taken: list[list[int]] = self._values[: self._slots].reshape(-1, self._top_k).tolist()
        self._values[: self._slots] = NOBODY
        return taken

    def fill(
        self, choices: Sequence[int] | Ints, rows: Sequence[int] | Ints, weights: npt.NDArray[np.float32]
    ) -> None:
        """The experts chosen [K], the row of each [K] and its weight [1, K]: what adding up needs."""
        self._values[self._slots : self._slots + 2 * self._top_k] = (*choices, *rows)
        self._weights[:] = weights[0]

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """See `RecordedExperts`."""
        self._streams.upload(self._there, self._host)
        *slots, choices, rows, weights = self._there.view(-1, 1, self._top_k).unbind()
        state = hidden.contiguous()
        for kernels, of_level in zip(self._kernels, slots, strict=True):
            kernels.run(state, of_level[0], self._tokens, self.outputs)
        final = torch.empty_like(hidden)
        self._kernels[0].combine(self.outputs, weights.view(torch.float32), choices, rows, final)
        return final
