"""The compiled expert computes what is stored, in whole and in parts, and to the same bits by any team."""

from __future__ import annotations

import os
import threading
import time
from itertools import pairwise

import pytest
import torch
from hobbit_devices.host_kernels.compiled_ffn import CompiledFfn, fits
from hobbit_devices.host_kernels.host_kernels import HostKernels
from hobbit_devices.host_kernels.host_team import HostTeam
from hobbit_devices.kernels.formats import PackedMatrix
from hobbit_devices.kernels.reference import decode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn.functional import linear, silu

from tests.devices.host_kernels.stored import Stored, error, unwritten

DTYPES = ("bfloat16", "float16", "float32")
ROUNDING = 1e-5
"""Of float32 sums of a few hundred numbers."""

quick = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@st.composite
def experts(draw: st.DrawFn) -> Stored:
    precision = draw(st.sampled_from(("native", "lossless12", "int8", "int4", "int2")))
    if precision == "lossless12":
        return Stored(precision, "bfloat16", 8 * draw(st.integers(1, 20)), 8 * draw(st.integers(1, 20)))
    dtype = draw(st.sampled_from(DTYPES))
    if precision in ("native", "int8"):
        return Stored(precision, dtype, draw(st.integers(2, 70)), draw(st.integers(2, 70)))
    group = draw(st.sampled_from((16, 32, 48)))
    return Stored(precision, dtype, group * draw(st.integers(1, 4)), group * draw(st.integers(1, 4)), group)


def run(
    kernels: HostKernels,
    stored: Stored,
    x: torch.Tensor,
    units: tuple[int, int] | None = None,
    threads: int = 1,
) -> torch.Tensor:
    out = unwritten(x.float())
    team = HostTeam(kernels, [0] * threads)
    CompiledFfn(kernels, stored.format, team)(x, stored.blob, out, units)
    team.close()
    return out


@quick
@given(stored=experts(), tokens=st.sampled_from((1, 3, 4, 6)))
def test_it_computes_what_is_stored(kernels: HostKernels, stored: Stored, tokens: int) -> None:
    assert fits(stored.format)
    x = stored.tokens(tokens)
    assert error(run(kernels, stored, x), stored.exact(x)) < ROUNDING


@quick
@given(stored=experts(), tokens=st.sampled_from((1, 3, 4, 6)), data=st.data())
def test_parts_add_up_to_the_whole(
    kernels: HostKernels, stored: Stored, tokens: int, data: st.DataObject
) -> None:
    cut = CompiledFfn(kernels, stored.format).cut
    x, whole = stored.tokens(tokens), range(0, stored.ffn, cut or stored.ffn)
    ends = sorted({0, stored.ffn, *data.draw(st.lists(st.sampled_from(whole), max_size=2))})
    total = torch.zeros(x.shape, dtype=torch.float64)
    for units in pairwise(ends):
        part = run(kernels, stored, x, units)
        assert error(part, stored.exact(x, units)) < ROUNDING
        total += part
    assert error(total, stored.exact(x)) < ROUNDING
    if cut:
        assert not run(kernels, stored, x, (cut, cut)).any(), "no units give nothing"


def with_strays() -> tuple[Stored, torch.Tensor, torch.Tensor]:
    """An expert, its blob, and a token for which all but strays is zero."""
    stored = Stored("lossless12", hidden=64, ffn=96)
    up, down = (
        torch.zeros(spec.shape, dtype=torch.bfloat16) for spec in stored.geometry.expert_tensors().values()
    )
    up[:, 0] = down[:, 95] = 1  # the token's first number is 0, and so is the last unit then
    small = torch.linspace(1, 2, 64).bfloat16() * 2.0**-17
    unit = torch.arange(0, 96, 3)
    up[unit, unit % 63 + 1], up[unit + 96, unit % 63 + 1] = small[:32], -small[32:]
    down[range(64), unit.repeat(2)[torch.arange(64) * 5 % 64]] = small
    blob = stored.quantizer.encode({"gate_up_proj": up, "down_proj": down}, "lossless12")
    x = 2.0**17 * stored.tokens(1)
    x[:, 0] = 0
    return stored, blob, x


def strays(blob: torch.Tensor, matrix: PackedMatrix) -> int:
    return int(blob[matrix.starts : matrix.starts + 4 * matrix.rows + 4].view(torch.int32)[-1])


def test_strays_count_in_each_part(kernels: HostKernels) -> None:
    stored, blob, x = with_strays()
    matrices = stored.format.up, stored.format.down
    assert all(strays(blob, matrix) == 64 for matrix in matrices)
    up, down = (decode(blob, matrix, torch.bfloat16, torch.float64) for matrix in matrices)
    gate, other = linear(x.double(), up).chunk(2, dim=-1)
    hidden = silu(gate) * other
    for first, last in ((0, 96), (0, 32), (32, 96), (32, 64), (64, 96)):
        out, exact = unwritten(x), linear(hidden[:, first:last], down[:, first:last])
        CompiledFfn(kernels, stored.format)(x, blob, out, (first, last))
        assert exact.any() and error(out, exact) < ROUNDING


@pytest.mark.parametrize("exponent", [-111, -60, 0, 60, 120])
def test_rows_of_12_bits_may_be_of_any_size(kernels: HostKernels, exponent: int) -> None:
    stored = Stored("lossless12", hidden=32, ffn=32)
    eye = torch.eye(32, dtype=torch.float64)
    sizes = 1.5 * 2.0 ** (exponent - torch.arange(32).double() % 15)
    up = torch.cat([eye * 16, eye]).bfloat16()
    down = (eye * sizes).flip(1).bfloat16()
    down[:, 0] = 2.0**exponent
    blob = stored.quantizer.encode({"gate_up_proj": up, "down_proj": down}, "lossless12")
    x, out = torch.linspace(0.5, 2, 32)[None], torch.full((1, 32), torch.nan)
    CompiledFfn(kernels, stored.format)(x, blob, out)
    exact = linear(silu(16 * x.double()) * x.double(), down.double())
    torch.testing.assert_close(out.double() / 2.0**exponent, exact / 2.0**exponent, rtol=ROUNDING, atol=0)


@pytest.mark.parametrize("precision", ["native", "lossless12", "int8", "int4", "int2"])
def test_neither_threads_nor_other_tokens_change_a_bit(kernels: HostKernels, precision: str) -> None:
    stored = Stored(precision, hidden=96, ffn=352)
    x = stored.tokens(6)  # four of them together
    alone = torch.cat([run(kernels, stored, row[None]) for row in x])
    for threads in (1, 2, 3):
        assert torch.equal(run(kernels, stored, x, threads=threads), alone)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_activations_may_be_of_any_dtype(kernels: HostKernels, dtype: str) -> None:
    stored = Stored("int8")
    x = stored.tokens(2).to(getattr(torch, dtype))
    assert torch.equal(run(kernels, stored, x), run(kernels, stored, x.float()))
    across = x.float().T.contiguous().T
    assert torch.equal(run(kernels, stored, across), run(kernels, stored, x.float()))


def test_all_numbers_of_float16_are_right(kernels: HostKernels) -> None:
    stored = Stored("native", "float16", hidden=16, ffn=16)
    gate, up, down = stored.blob.view(torch.float16).view(3, 16, 16)
    tiny = [6e-8, -6e-8, 1.2e-7, 3e-5, -6.0e-5, 6.1e-5]  # up to here subnormal
    sizes = torch.tensor([*tiny, 6.2e-5, 1e-3, 1.0, -1.0, 1.001, 3.1, -1000.0, 60000.0, 65504.0, 0.0])
    for matrix, diagonal in ((gate, torch.full((16,), 8.0)), (up, torch.ones(16)), (down, sizes)):
        matrix.copy_(torch.diag(diagonal))
    x = torch.ones(1, 16)
    torch.testing.assert_close(run(kernels, stored, x).double(), stored.exact(x), rtol=ROUNDING, atol=0)


@pytest.mark.parametrize("precision", ["int4", "lossless12"])
def test_scratch_serves_more_tokens_and_then_fewer(kernels: HostKernels, precision: str) -> None:
    stored = Stored(precision)
    ffn = CompiledFfn(kernels, stored.format)
    for tokens in (1, 9, 2):
        x = stored.tokens(tokens).bfloat16()
        out = unwritten(x)
        ffn(x, stored.blob, out)
        assert error(out, stored.exact(x)) < ROUNDING


def test_calls_in_and_out_of_inference_mode_take_turns(kernels: HostKernels) -> None:
    stored = Stored("native")
    ffn = CompiledFfn(kernels, stored.format)
    x = stored.tokens(1).bfloat16()
    for mode in (True, False, True):
        with torch.inference_mode(mode), torch.no_grad():
            out = unwritten(x)
            ffn(x.clone(), stored.blob, out)
            assert error(out, stored.exact(x)) < ROUNDING


def test_two_lanes_at_once_do_not_meet(kernels: HostKernels) -> None:
    results: dict[int, list[torch.Tensor]] = {0: [], 1: []}
    lanes = [Stored("int4", ffn=96), Stored("int4", ffn=320)]

    def serve(number: int) -> None:
        ffn, x = (
            CompiledFfn(kernels, lanes[number].format, HostTeam(kernels, [0, 0])),
            lanes[number].tokens(2),
        )
        for _ in range(50):
            out = unwritten(x)
            ffn(x, lanes[number].blob, out)
            results[number].append(out)

    threads = [threading.Thread(target=serve, args=(number,)) for number in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, outputs in results.items():
        expected = run(kernels, lanes[number], lanes[number].tokens(2))
        assert len(outputs) == 50 and all(torch.equal(output, expected) for output in outputs)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_computes_alone(kernels: HostKernels) -> None:
    stored = Stored("native")
    x = stored.tokens(1)
    team = HostTeam(kernels, [0, 0])  # whose threads the child does not have
    ffn = CompiledFfn(kernels, stored.format, team)
    expected, found = unwritten(x.float()), unwritten(x.float())
    ffn(x, stored.blob, expected)
    child = os.fork()
    if not child:
        ffn(x, stored.blob, found)
        team.close()
        os._exit(0 if torch.equal(found, expected) else 1)
    until = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert ended == (child, 0)


def test_what_does_not_fit_is_told_apart() -> None:
    assert not fits(Stored("int4", hidden=40, ffn=40, group=8).format), "a group is no vector"
    assert fits(Stored("int8", hidden=9, ffn=7).format)
