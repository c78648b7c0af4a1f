"""The maths of a simulated device: the live model's experts on the CPU, in real slots."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hobbit.api import Copy, ExpertPayload, ExpertSource, Job, Quantizer, SlotLayout
from hobbit_devices.arena import SlotArena


class SimMaths:
    """Slots for the live model. A blob is in its slot once its copy is issued: order decides content."""

    def __init__(self, layout: SlotLayout, quantizer: Quantizer, source: ExpertSource) -> None:
        self._arena = SlotArena(layout, quantizer, torch.device("cpu"))
        self._layouts = layout.layouts
        self._quantizer = quantizer
        self._source = source

    def load(self, copy: Copy) -> None:
        """Fill the copy's slot."""
        self._source.expect((copy.key,))
        self._source.read(copy.key, self._arena.blob(copy.key.level, copy.slot))

    def run(self, jobs: Sequence[Job], payload: ExpertPayload) -> None:
        """Run experts from their slots."""
        for job in jobs:
            payload.compute(job.key.expert, self._arena.tensors(job.key.level, job.slot))

    def run_host(self, jobs: Sequence[Job], payload: ExpertPayload) -> None:
        """Run experts from the store."""
        self._source.expect([job.key for job in jobs])
        for job in jobs:
            blob = self._source.blob(job.key)
            try:
                payload.compute(job.key.expert, self._quantizer.decode(blob, self._layouts[job.key.level]))
            finally:
                self._source.release(job.key)
