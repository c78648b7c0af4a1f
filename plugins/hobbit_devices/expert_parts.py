"""The host's part of a layer, expert by expert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hobbit.api import ExpertKey, ExpertSource, Job
from hobbit_devices.expert_cut import ExpertCut
from hobbit_devices.fused_layer import FusedLayers
from hobbit_devices.layer_pairs import Batch

ALL = -1
"""Units of a part that is the whole expert."""


@dataclass(slots=True, eq=False)
class ExpertPart:
    """One expert of the layer, its pairs, and the hidden units of it that the host computes, the first ones.

    The device computes the others; `units` is ALL where there are none. `blob` is lent for the layer; None:
    whoever runs the part asks for it.
    """

    job: Job
    batch: Batch
    units: int
    blob: torch.Tensor | None


class Parting:
    """Parts experts as their jobs' shares say, at `cuts` of their levels (None: nowhere).

    Only one token's are parted, only if the blobs of all of the layer's are at hand, and within the device's
    reach: it never keeps a blob while another is waited for. Each blob is asked for once; `lent` are those
    that whoever asked has to give back.
    """

    def __init__(self, cuts: Sequence[ExpertCut | None], source: ExpertSource) -> None:
        self._cuts = cuts
        self._source = source
        self.lent: list[ExpertKey] = []

    def __call__(self, jobs: Sequence[Job], layer: FusedLayers, tokens: int) -> list[ExpertPart]:
        """The parts of a layer: those of the host alone first, then those that the device runs in one call
        side by side. Their pairs are taken in this order."""
        if tokens > 1 or not all(map(self._source.at_hand, (job.key for job in jobs))):
            return [ExpertPart(job, layer.take(job.key.expert), ALL, None) for job in jobs]
        found = []
        for job in jobs:
            blob = self._source.blob(job.key)
            self.lent.append(job.key)
            units = self._units(job, blob, layer)
            found.append((units != ALL, job.key.level, units, job, blob))
        if len(found) > 1:
            found.sort(key=_together)
        return [ExpertPart(job, layer.take(job.key.expert), units, blob) for _, _, units, job, blob in found]

    def _units(self, job: Job, blob: torch.Tensor, layer: FusedLayers) -> int:
        cut = self._cuts[job.key.level]
        if job.share >= 1 or cut is None or layer.in_place is None:
            return ALL
        units = cut.at(job.share)
        return units if units < cut.units and layer.in_place.reaches(blob) else ALL


def _together(found: tuple[bool, int, int, Job, torch.Tensor]) -> tuple[bool, int, int]:
    return found[:3]
