"""What a bench asks of a backend beside its work: to be done with it, and how much memory it took."""

from __future__ import annotations

import gc

import torch


class Backend:
    """The backend of `place`. On the CPU there is no queue to wait for, and no peak to read."""

    def __init__(self, place: torch.device) -> None:
        self.place = place
        self._cuda = place.type == "cuda"

    def finish(self) -> None:
        """Wait for all work queued so far, on every stream."""
        if self._cuda:
            torch.cuda.synchronize(self.place)

    def finish_computing(self) -> None:
        """Wait for the queue of computation alone; copies go on."""
        if self._cuda:
            torch.cuda.current_stream(self.place).synchronize()

    def forget_peak(self) -> None:
        """Free what nobody holds, and count the peak from now on."""
        gc.collect()
        if self._cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.place)

    def peak_bytes(self) -> int | None:
        """The most device memory that torch has held since `forget_peak`; None where nothing counts it."""
        return torch.cuda.max_memory_allocated(self.place) if self._cuda else None

    @property
    def label(self) -> str:
        """The processor's name."""
        return (
            torch.cuda.get_device_name(self.place)
            if self._cuda
            else f"CPU, {torch.get_num_threads()} threads"
        )
