"""The benchmark of the driver's calls makes each of them; the figures themselves are nobody's to assert."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import driver_calls
from tests.devices.stand_in_streams import StandInStreams

CPU = torch.device("cpu")


class Watched(StandInStreams):
    """Queues that may lose bytes."""

    loses = False

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        super().copy(target[1:] if self.loses else target, source[1:] if self.loses else source)


def test_every_call_is_made_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_calls, "ROUNDS", 1)
    streams = Watched()
    found = driver_calls.measure(streams, CPU, 4096)
    assert {"load", "copy", "copied", "computed", "idle", "upload", "count"} <= set(found)
    assert all(microseconds > 0 for microseconds in found.values())
    assert len(streams.moved) == 2 * 2 * driver_calls.CALLS, "of whole experts, by load and by copy alone"
    streams.close()


def test_what_arrives_is_compared() -> None:
    streams = Watched()
    assert driver_calls.arrives(streams, CPU, 4096)
    streams.loses = True
    assert not driver_calls.arrives(streams, CPU, 4096)
    streams.close()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert driver_calls.main(["--out", str(tmp_path / "figures.json")]) == 2
    said = "benchmarks.driver_calls: no CUDA device is visible; run it on a machine with one\n"
    assert capsys.readouterr().err == said
    assert not list(tmp_path.iterdir())
