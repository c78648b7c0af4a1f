"""An expert on the host, straight from its blob: the values of decoded weights, at every precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hobbit_devices.host_cores import physical_cores, team
from hobbit_devices.host_ffn import HostFfn
from torch.nn.functional import linear, silu


@pytest.mark.parametrize(
    ("precision", "name"),
    [
        ("native", "linear"),
        ("int8", "int8 product"),
        ("int4", "decoded weights"),
        ("int2", "decoded weights"),
    ],
)
@pytest.mark.parametrize("tokens", [1, 5])
def test_it_gives_what_decoded_weights_give(experts: Any, precision: str, name: str, tokens: int) -> None:
    layout = experts.quantizer.layout(experts.geometry.expert_tensors(), precision)
    blob = experts.quantizer.encode(experts.tensors(1, 2), precision)
    x = experts.hidden[:tokens]
    ffn = HostFfn(layout, experts.quantizer)
    assert ffn.name == name
    decoded = experts.quantizer.decode(blob, layout)
    gate, up = linear(x, decoded["gate_up_proj"]).chunk(2, dim=-1)
    expected = linear(silu(gate) * up, decoded["down_proj"])
    # The int8 product weighs its sums once, not every weight: more exact, not equal to the bit.
    torch.testing.assert_close(ffn(x, blob), expected, rtol=3e-2, atol=3e-2)
    if precision != "int8":
        assert torch.equal(ffn(x, blob), expected)


def test_large_weights_take_rows_by_the_tile(experts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = experts.quantizer.layout(experts.geometry.expert_tensors(), "native")
    blob = experts.quantizer.encode(experts.tensors(1, 2), "native")
    x = experts.hidden[:3]
    expected = HostFfn(layout, experts.quantizer)(x, blob)
    monkeypatch.setattr("hobbit_devices.host_ffn.WIDE", 0)
    outputs = HostFfn(layout, experts.quantizer)(x, blob)
    assert outputs.shape == expected.shape
    torch.testing.assert_close(outputs, expected, rtol=3e-2, atol=3e-2)


def test_one_logical_cpu_stands_for_each_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cpu in range(8):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert physical_cores(tmp_path) == [0, 1, 2, 3]
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {1, 5, 6}, raising=False)
    assert physical_cores(tmp_path) == [1, 6]


@pytest.mark.parametrize(("threads", "cores"), [(0, [2, 3]), (1, [3]), (4, [0, 1, 2, 3]), (99, [0, 1, 2, 3])])
def test_a_team_leaves_cores_to_those_who_drive_the_device(threads: int, cores: list[int]) -> None:
    assert team(threads, [0, 1, 2, 3]) == cores
    assert team(0, [7]) == [7]
