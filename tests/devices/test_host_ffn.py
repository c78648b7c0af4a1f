"""An expert on the host, straight from its blob: the values of decoded weights, at every precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hobbit_devices.host_cores import physical_cores, team
from hobbit_devices.host_ffn import HostFfn
from hobbit_devices.host_kernels import FEW_TOKENS
from hobbit_devices.host_kernels.host_kernels import HostKernels
from torch.nn.functional import linear, silu

from tests.devices.host_kernels.stored import Stored, error

PRECISIONS = ("native", "lossless12", "int8", "int4", "int2")


def outputs(ffn: HostFfn, x: torch.Tensor, blob: torch.Tensor, units: Any = None) -> torch.Tensor:
    out = torch.full(x.shape, torch.nan)
    ffn(x, blob, out, units)
    return out


@pytest.mark.parametrize(
    ("precision", "name", "cut"),
    [
        ("native", "linear", 16),
        ("lossless12", "decoded weights", 0),
        ("int8", "int8 product", 0),
        ("int4", "decoded weights", 0),
        ("int2", "decoded weights", 0),
    ],
)
@pytest.mark.parametrize("tokens", [1, 5])
def test_torch_gives_what_decoded_weights_give(
    experts: Any, precision: str, name: str, cut: int, tokens: int
) -> None:
    layout = experts.quantizer.layout(experts.geometry.expert_tensors(), precision)
    blob = experts.quantizer.encode(experts.tensors(1, 2), precision)
    x = experts.hidden[:tokens]
    ffn = HostFfn(layout, experts.quantizer)
    assert (ffn.name, ffn.cut) == (name, cut)
    decoded = experts.quantizer.decode(blob, layout)
    gate, up = linear(x, decoded["gate_up_proj"]).chunk(2, dim=-1)
    expected = linear(silu(gate) * up, decoded["down_proj"]).float()
    # The int8 product weighs its sums once, not every weight: more exact, not equal to the bit.
    torch.testing.assert_close(outputs(ffn, x, blob), expected, rtol=3e-2, atol=3e-2)
    if precision != "int8":
        assert torch.equal(outputs(ffn, x, blob), expected)
        assert torch.equal(outputs(ffn, x.float(), blob), expected), "the model's dtype is what counts"


@pytest.mark.parametrize("wide", [False, True])
def test_native_parts_add_up_in_torch(experts: Any, monkeypatch: pytest.MonkeyPatch, wide: bool) -> None:
    layout = experts.quantizer.layout(experts.geometry.expert_tensors(), "native")
    blob = experts.quantizer.encode(experts.tensors(1, 2), "native")
    ffn, x = HostFfn(layout, experts.quantizer), experts.hidden[:3]
    whole = outputs(ffn, x, blob)
    monkeypatch.setattr("hobbit_devices.torch_ffn.WIDE", 0 if wide else 1 << 40)
    parts = outputs(ffn, x, blob, (0, 48)) + outputs(ffn, x, blob, (48, 64))
    torch.testing.assert_close(parts, whole, rtol=3e-2, atol=3e-2)
    torch.testing.assert_close(outputs(ffn, x, blob), whole, rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_few_tokens_are_compiled_and_more_are_torchs(kernels: HostKernels, precision: str) -> None:
    stored = Stored(precision, hidden=64, ffn=128)
    ffn, plain = (HostFfn(stored.layout, stored.quantizer, with_it) for with_it in (kernels, None))
    few = FEW_TOKENS[precision]
    assert ffn.name == "host kernel" and plain.name != ffn.name
    for tokens in (1, few, few + 1):
        x = stored.tokens(tokens).bfloat16()
        exact = stored.exact(x)
        found = outputs(ffn, x, stored.blob)
        assert (error(found, exact) < 1e-5) == (tokens <= few), "torch rounds to bfloat16 on its way"
        assert torch.equal(found, outputs(plain, x, stored.blob)) == (tokens > few)
        assert error(found, exact) < 2e-2


@pytest.mark.parametrize(
    ("precision", "cut"), [("native", 16), ("lossless12", 32), ("int8", 16), ("int4", 32)]
)
def test_parts_are_computed_for_any_number_of_tokens(kernels: HostKernels, precision: str, cut: int) -> None:
    stored = Stored(precision, hidden=64, ffn=128)
    ffn = HostFfn(stored.layout, stored.quantizer, kernels)
    assert ffn.cut == cut
    for tokens in (1, FEW_TOKENS[precision] + 1):
        x = stored.tokens(tokens).bfloat16()
        for units in ((0, 64), (64, 128)):
            assert error(outputs(ffn, x, stored.blob, units), stored.exact(x, units)) < 2e-2


@pytest.mark.parametrize(
    ("precision", "units", "complaint"),
    [
        ("int4", (0, 48), "parts of 128 in steps of 32"),
        ("int4", (64, 160), "parts of 128 in steps of 32"),
        ("native", (64, 32), "parts of 128 in steps of 16"),
        ("lossless12", (0, 48), "parts of 128 in steps of 32"),
        ("int2", (0, 64), "no parts"),
    ],
)
def test_other_parts_are_refused(
    kernels: HostKernels, precision: str, units: tuple[int, int], complaint: str
) -> None:
    stored = Stored(precision, hidden=64, ffn=128)
    with pytest.raises(ValueError, match=complaint):
        outputs(HostFfn(stored.layout, stored.quantizer, kernels), stored.tokens(1), stored.blob, units)


def test_what_the_kernels_do_not_know_is_torchs(kernels: HostKernels) -> None:
    stored = Stored("int4", hidden=40, ffn=40, group=8)
    assert HostFfn(stored.layout, stored.quantizer, kernels).name == "decoded weights"


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
