"""The thread that runs experts without Python: right results, no work lost, and no wait for ever."""

from __future__ import annotations

from collections.abc import Iterator
from time import sleep

import pytest
import torch
from hobbit_devices.host_kernels.compiled_ffn import CompiledFfn
from hobbit_devices.host_kernels.compiled_lane import CompiledLane, HostPart
from hobbit_devices.host_kernels.host_team import HostTeam
from hobbit_devices.host_kernels.loading import load
from hobbit_devices.kernels.formats import ExpertFormat

from hobbit.api import ExpertKey
from tests.devices.conftest import Experts
from tests.devices.host_kernels.stored import Stored, error

KERNELS, REASON = load()
pytestmark = pytest.mark.skipif(KERNELS is None, reason=str(REASON))

NEVER = 2**30


class Stuck(Exception):
    """Nobody will raise the counter."""


def stuck() -> None:
    raise Stuck


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> Iterator[CompiledLane]:
    monkeypatch.setattr("hobbit_devices.host_kernels.compiled_lane.PATIENCE_NS", 5 * 10**7)
    assert KERNELS is not None
    team = HostTeam(KERNELS, [0, 0])
    lane = CompiledLane(KERNELS, team, check=stuck)
    yield lane
    lane.abandon()
    lane.close()
    lane.close()
    team.close()
    team.close()


def parts(experts: Experts, level: int, outputs: torch.Tensor) -> list[HostPart]:
    assert KERNELS is not None
    ffn = CompiledFfn(KERNELS, ExpertFormat.of(experts.layouts[level]))
    return [
        HostPart(ffn, experts.store.blob(ExpertKey(0, expert, level)), ffn.units, out)
        for expert, out in enumerate(outputs)
    ]


@pytest.mark.parametrize("level", [0, 1])
def test_it_gives_what_a_call_gives(experts: Experts, lane: CompiledLane, level: int) -> None:
    found, right = torch.empty(3, 64), torch.empty(3, 64)
    counter, done = torch.zeros(2, dtype=torch.int32)[:, None].unbind()
    for number, hidden in enumerate(experts.hidden, 1):
        posted = parts(experts, level, found)
        lane.post(posted, hidden, counter, done, number)
        counter += 1
        lane.join()
        for part, out in zip(posted, right, strict=True):
            part.ffn(hidden[None], part.blob, out[None])
        assert torch.equal(found, right) and int(done) == number
    assert lane.busy_ns > 0


def test_it_runs_experts_of_12_bits_in_parts(lane: CompiledLane) -> None:
    assert KERNELS is not None
    stored = Stored("lossless12")
    ffn, x, found = CompiledFfn(KERNELS, stored.format), stored.tokens(1), torch.empty(2, 64)
    counter, done = torch.ones(1, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
    posted = [HostPart(ffn, stored.blob, until, out) for until, out in zip((96, 32), found, strict=True)]
    lane.post(posted, x[0], counter, done, 1)
    lane.join()
    for out, units in zip(found, ((0, 96), (0, 32)), strict=True):
        assert error(out[None], stored.exact(x, units)) < 1e-5


def test_it_waits_for_the_hidden_state(experts: Experts, lane: CompiledLane) -> None:
    found = torch.full((1, 64), torch.nan)
    counter, done = torch.zeros(2, dtype=torch.int32)[:, None].unbind()
    lane.post(parts(experts, 0, found), experts.hidden[0], counter, done, 1)
    with pytest.raises(Stuck):
        lane.join()
    assert found.isnan().all()
    counter += 1
    lane.join()
    assert not found.isnan().any()


def test_what_nobody_wants_ends_without_it(experts: Experts, lane: CompiledLane) -> None:
    found = torch.full((1, 64), torch.nan)
    counter, done = torch.zeros(2, dtype=torch.int32)[:, None].unbind()
    lane.post(parts(experts, 0, found), experts.hidden[0], counter, done, NEVER)
    lane.abandon()
    assert found.isnan().all() and int(done) == NEVER, "nobody waits for ever"
    lane.post(parts(experts, 0, found), experts.hidden[0], counter, done, 0)
    lane.join()
    assert not found.isnan().any()


def test_it_wakes_from_its_sleep(experts: Experts, lane: CompiledLane) -> None:
    counter, done = torch.zeros(2, dtype=torch.int32)[:, None].unbind()
    for _ in range(3):
        sleep(0.06)
        found = torch.full((1, 64), torch.nan)
        lane.post(parts(experts, 0, found), experts.hidden[0], counter, done, 0)
        lane.join()
        assert not found.isnan().any()


def test_joining_nothing_is_no_wait(lane: CompiledLane) -> None:
    lane.join()
    lane.abandon()
