"""Rows of pinned memory: nobody writes to one that is still to be read."""

from __future__ import annotations

import pytest
import torch
from hobbit_devices.upload_ring import ROWS, WIDTH, UploadRing

from tests.devices.stand_in_streams import StandInStreams

CPU = torch.device("cpu")


class Unmapped(StandInStreams):
    """Kernels that cannot read the host's memory."""

    def mapped(self, blob: torch.Tensor) -> None:
        return None


@pytest.mark.parametrize("kind", [StandInStreams, Unmapped])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_shown_stays_until_it_was_read(kind: type[StandInStreams], seed: int) -> None:
    streams = kind(seed=seed)
    ring = UploadRing(streams, CPU)
    read: list[list[int]] = []
    expected = []
    with streams.beside():
        for number in range(4 * ROWS):
            values = [number] * (1 + number % 3) if number % 49 else [number] * (WIDTH + 1)
            there = ring.upload(values) if number % 5 == 0 else ring.show(values)
            streams.put(lambda there=there: read.append(there.tolist()))
            expected.append(values)
        streams.finish()
    streams.close()
    assert read == expected
