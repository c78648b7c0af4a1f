"""Launches past Triton's binder: only where what it compiled fits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hobbit_devices.kernels.launch import Launch

from tests.devices.kernels.slots import NEEDS_TRITON, ON_GPU, Experts, indices, poisoned

NAMES = ("x", "slots", "first", "POOL", "BLOCK")
GRID = (3, 2)


class Binder:
    """Stands in for a kernel of Triton's, which needs a GPU: notes who launches it with what."""

    def __init__(self, backend: str = "cuda", launcher: str = "known", interpreted: bool = False) -> None:
        self.arg_names = NAMES
        if not interpreted:
            self.params = [SimpleNamespace(do_not_specialize_on_alignment=name == "slots") for name in NAMES]
        self.bound: list[tuple[Any, ...]] = []
        self.direct: list[tuple[Any, ...]] = []
        self._launcher = launcher
        self._compiled = SimpleNamespace(
            metadata=SimpleNamespace(target=SimpleNamespace(backend=backend)),
            run=self._run,
            function=77,
            packed_metadata=(4, 1, 0),
        )

    def __getitem__(self, grid: tuple[int, int]) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.bound.append((grid, arguments, keywords))
            return self._compiled

        return call

    def _run(self, *arguments: Any) -> None:
        if self._launcher != "known":
            raise TypeError("function takes exactly 12 arguments")
        self.direct.append(arguments)


@pytest.fixture(autouse=True)
def queue(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace | None:
    """The current device and stream, where there is no GPU."""
    if ON_GPU:
        return None
    now = SimpleNamespace(device=0, stream=5)
    monkeypatch.setattr(torch._C, "_cuda_getDevice", lambda: now.device, raising=False)
    monkeypatch.setattr(
        torch._C, "_cuda_getCurrentRawStream", lambda device: now.stream + device, raising=False
    )
    return now


def launch_of(binder: Binder) -> Launch:
    return Launch(binder, {"POOL": 1234, "BLOCK": 16}, warps=2)


def arguments(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(64, dtype=dtype), torch.zeros(4, dtype=torch.int32)


@pytest.mark.skipif(ON_GPU, reason="stands in for a GPU")
def test_the_second_launch_hands_over_pointers_on_the_current_stream(queue: SimpleNamespace) -> None:
    binder = Binder()
    launch, (x, slots) = launch_of(binder), arguments()
    launch(GRID, (x, slots), 32)
    assert binder.bound == [(GRID, (x, slots, 32), {"POOL": 1234, "BLOCK": 16, "num_warps": 2})]
    queue.stream = 9
    launch((4, 1), (x, slots[1:]), 48)
    assert len(binder.bound) == 1
    pointers = (x.data_ptr(), slots.data_ptr() + 4, 48)
    assert binder.direct == [(4, 1, 1, 9, 77, (4, 1, 0), None, None, None, *pointers, 1234, 16)]


@pytest.mark.skipif(ON_GPU, reason="stands in for a GPU")
def test_what_was_compiled_for_others_is_not_used(queue: SimpleNamespace) -> None:
    binder = Binder()
    launch, (x, slots) = launch_of(binder), arguments()
    launch(GRID, (x[1:], slots), 32)  # Triton takes it for one of any alignment
    launch(GRID, (x, slots), 32)
    launch(GRID, (x, slots), 32)
    assert (len(binder.bound), len(binder.direct)) == (2, 1)
    launch(GRID, (x[1:], slots), 32)
    launch(GRID, (x, slots), 8)
    launch(GRID, (x, slots.long()), 32)
    launch(GRID, arguments(torch.bfloat16), 32)
    queue.device = 1
    launch(GRID, (x, slots), 32)
    assert (len(binder.bound), len(binder.direct)) == (7, 1)
    queue.device = 0
    for tensors in ((x, slots), (x, slots.long()), arguments(torch.bfloat16)):
        launch(GRID, tensors, 0)
    assert (len(binder.bound), len(binder.direct)) == (7, 4)


@pytest.mark.skipif(ON_GPU, reason="stands in for a GPU")
@pytest.mark.parametrize(
    "odd", [{"backend": "hip"}, {"launcher": "of another Triton"}, {"interpreted": True}]
)
def test_an_unknown_triton_is_left_to_its_binder(odd: dict[str, Any]) -> None:
    binder = Binder(**odd)
    launch, tensors = launch_of(binder), arguments()
    for _ in range(3):
        launch(GRID, tensors, 16)
    assert len(binder.bound) == 3
    assert not binder.direct


@pytest.mark.gpu
@NEEDS_TRITON
@pytest.mark.skipif(not ON_GPU, reason="needs a GPU")
@pytest.mark.parametrize("first", [0, 64])
@pytest.mark.parametrize("precision", ["native", "int8", "int4"])
def test_past_the_binder_the_results_are_the_same(precision: str, first: int) -> None:
    experts = Experts(precision)
    kernels, x = experts.triton, experts.tokens(1)
    indexes = indices(0, 3, 1, 0, 0)
    expected, found = poisoned(2, experts.hidden), poisoned(2, experts.hidden)
    kernels.run(x, indexes[1:3], indexes[3:], expected, first)
    for launch in kernels.launches:
        launch._kernel = None  # there is no binder to turn to
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        kernels.run(x, indexes[1:3], indexes[3:], found, first)
    side.synchronize()
    assert torch.equal(found, expected)


@pytest.mark.gpu
@NEEDS_TRITON
@pytest.mark.skipif(not ON_GPU, reason="needs a GPU")
def test_sums_of_any_dtypes_and_alignments_are_the_references() -> None:
    experts = Experts("native", "float32", hidden=80)
    flat = torch.randn(4 * 80 + 1, device="cuda")
    chosen, rows = indices(5, 2, 9)[None], indices(2, 0, 1)[None]
    weights = torch.tensor([[0.5, 0.25, 0.125]], device="cuda")
    for out in (flat[:-1].view(4, 80), flat[1:].view(4, 80)):
        for these in (weights, weights.bfloat16()):
            for those in (chosen, chosen.long()):
                for final in (poisoned(1, 80), poisoned(1, 80, torch.bfloat16)):
                    expected = torch.empty_like(final)
                    experts.plain.combine(out, these, those, rows, expected)
                    for _ in range(2):
                        experts.triton.combine(out, these, those, rows, final.fill_(float("nan")))
                        torch.testing.assert_close(final, expected, rtol=8e-3, atol=1e-6)
