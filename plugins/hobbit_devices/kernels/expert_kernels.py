"""The expert FFN on slots, in Triton: what to launch, on what."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from hobbit.api import BlobLayout
from hobbit.errors import DeviceError
from hobbit_devices.kernels.combining import weighted_sum
from hobbit_devices.kernels.configs import Blocks, Plan, grouped_plan, single_plan
from hobbit_devices.kernels.formats import LOSSLESS12_BITS, ExpertFormat, PackedMatrix
from hobbit_devices.kernels.gemm import down_grouped, gate_up_grouped
from hobbit_devices.kernels.gemv_int8 import down_int8, gate_up_int8
from hobbit_devices.kernels.gemv_lossless12 import down_lossless12, gate_up_lossless12
from hobbit_devices.kernels.gemv_native import down_native, gate_up_native
from hobbit_devices.kernels.gemv_packed import down_packed, gate_up_packed
from hobbit_devices.kernels.launch import Launch
from hobbit_devices.kernels.support import ACTIVATIONS, shared_memory, supports

_TYPES = {"bfloat16": tl.bfloat16, "float16": tl.float16, "float32": tl.float32}
_SINGLE = {
    0: (gate_up_native, down_native),
    LOSSLESS12_BITS: (gate_up_lossless12, down_lossless12),
    8: (gate_up_int8, down_int8),
    4: (gate_up_packed, down_packed),
    2: (gate_up_packed, down_packed),
}
_COMBINED = 1024
"""Columns of the sum that one program makes."""


class Launches(NamedTuple):
    """The launches of `run`: down is one kernel for all hidden units, another for a part of them."""

    gate_up: Launch
    down: Launch
    part: Launch


class ExpertKernels:
    """Runs experts in the slots of one level: in `pool` uint8 [S, stride] a blob of `layout` begins each row.

    A blob may be longer than a row: flat memory seen in rows of 64 bytes has a slot at each of them.

    Nothing here synchronises with the host, and launches depend on shapes alone, so every call can be
    captured in a CUDA graph. Raises DeviceError if there is no kernel for the layout or the activation
    (see `supports`). `plan` replaces the table's block sizes of `run`.
    """

    def __init__(
        self, layout: BlobLayout, pool: torch.Tensor, activation: str = "silu", plan: Plan | None = None
    ) -> None:
        reason = supports(layout, activation)
        if reason is not None:
            raise DeviceError(reason)
        self.format = ExpertFormat.of(layout)
        self._pool = pool
        self._activation = ACTIVATIONS[activation]
        self._dtype: torch.dtype = getattr(torch, self.format.dtype)
        self.single = plan or single_plan(self.format)
        self.cut = self.format.cut
        self._shared = shared_memory(pool.device)
        self._up_rows = self.format.up_rows
        self._down_blocks = -(-self.format.down_rows // self.single.down.n)
        gate_up, down = _SINGLE[self.format.up.bits]
        self._h: dict[int, torch.Tensor] = {}
        self.launches = Launches(
            self._launch(gate_up, self.format.up, self.single.up, ACTIVATION=self._activation),
            self._launch(down, self.format.down, self.single.down, PART=False),
            self._launch(down, self.format.down, self.single.down, PART=True),
        )

    def run(
        self, x: torch.Tensor, slots: torch.Tensor, tokens: torch.Tensor, out: torch.Tensor, first: int = 0
    ) -> None:
        """out[p] = the expert in slots[p] applied to x[tokens[p]], not yet weighted.

        x [T, d] in the model's dtype; slots and tokens int32 [P]; out [P, d], float32 or the model's dtype.
        Pairs of a negative slot are left alone. Each pair reads its expert's weights: made for one token.
        Of the F hidden units those before `first`, a multiple of `cut` below F, are left out: out is the part
        that the others give, and their weights are all that is read.
        """
        if len(slots):
            h = self._between(len(slots), x.device)
            self.gate_up(x, slots, tokens, h, first)
            self.down(h, slots, out, first)

    def _between(self, pairs: int, device: torch.device) -> torch.Tensor:
        """Room for h, [P, F]: calls follow one another in one queue, so that they can share it."""
        h = self._h.get(pairs)
        if h is None:
            with torch.inference_mode(False):
                h = self._h[pairs] = torch.empty((pairs, self.format.ffn), dtype=self._dtype, device=device)
        return h

    def gate_up(
        self, x: torch.Tensor, slots: torch.Tensor, tokens: torch.Tensor, h: torch.Tensor, first: int = 0
    ) -> None:
        """The first launch of `run`: h[p] = act(gate x) * (up x), h [P, F] in the model's dtype."""
        assert not first or (self.cut and first % self.cut == 0), first
        blocks = -((first - self._up_rows) // self.single.up.n)
        self.launches.gate_up((blocks, len(slots)), (x, slots, tokens, h), first)

    def down(self, h: torch.Tensor, slots: torch.Tensor, out: torch.Tensor, first: int = 0) -> None:
        """The second launch of `run`: out[p] = down h[p]."""
        launch = self.launches.part if first else self.launches.down
        launch((self._down_blocks, len(slots)), (h, slots, out), first)

    def run_grouped(
        self,
        x: torch.Tensor,
        slots: torch.Tensor,
        offsets: torch.Tensor,
        tokens: torch.Tensor,
        out: torch.Tensor,
        plan: Plan | None = None,
    ) -> None:
        """out[i] = expert of the i-th pair applied to x[tokens[i]], the pairs being sorted by expert.

        The pairs offsets[e] .. offsets[e + 1] belong to the expert in slots[e]: slots int32 [n], offsets
        int32 [n + 1], tokens int32 [P], out [P, d]. Pairs of a negative slot are left alone. Each expert's
        weights are read once for every block of its tokens.
        """
        pairs, experts = len(tokens), len(slots)
        if not pairs or not experts:
            return
        format = self.format
        plan = plan or grouped_plan(format, len(x), self._shared)
        h = torch.empty((pairs, format.ffn), dtype=self._dtype, device=x.device)
        tiles = pairs // plan.up.m + min(experts, pairs)
        gate_up_grouped[tiles, -(-format.up_rows // plan.up.n)](
            x, self._pool, slots, offsets, tokens, h, experts,
            **self._grouped(format.up, experts), ACTIVATION=self._activation,
            BLOCK_M=plan.up.m, BLOCK_N=plan.up.n, BLOCK_K=plan.up.k,
            num_warps=plan.up.warps, num_stages=plan.up.stages,
        )  # fmt: skip
        tiles = pairs // plan.down.m + min(experts, pairs)
        down_grouped[tiles, -(-format.down_rows // plan.down.n)](
            h, self._pool, slots, offsets, out, experts,
            **self._grouped(format.down, experts),
            BLOCK_M=plan.down.m, BLOCK_N=plan.down.n, BLOCK_K=plan.down.k,
            num_warps=plan.down.warps, num_stages=plan.down.stages,
        )  # fmt: skip

    @staticmethod
    def combine(
        out: torch.Tensor,
        weights: torch.Tensor,
        experts: torch.Tensor,
        rows: torch.Tensor,
        final: torch.Tensor,
    ) -> None:
        """final[t] = sum over k of weights[t, k] * out[rows[t, k]], in ascending order of experts[t, k].

        out [R, d]; weights [T, K] of any float dtype; experts and rows int [T, K]; a negative row is left
        out; final [T, d]. Sums are in float32 and rounded once. The order does not depend on which rows were
        computed when, so a layer served in parts has the bits of one served at once.
        """
        tokens, choices = weights.shape
        hidden = final.shape[1]
        launch, blocks = summing(hidden, choices)
        launch((tokens, blocks), (out, weights, experts, rows, final))

    def _launch(self, kernel: Any, matrix: PackedMatrix, blocks: Blocks, **more: Any) -> Launch:
        """A batch-1 kernel on this pool."""
        sizes = {"BLOCK_N": blocks.n, "BLOCK_K": blocks.k, "STAGES": blocks.stages}
        return Launch(kernel, {"pool": self._pool} | self._stored(matrix) | more | sizes, blocks.warps)

    def _stored(self, matrix: PackedMatrix) -> dict[str, Any]:
        """What a kernel has to know of a matrix in this pool."""
        arguments = {
            "STRIDE": self._pool.stride(0),
            "DATA": matrix.data,
            "DTYPE": _TYPES[self.format.dtype],
            "D": self.format.hidden,
            "F": self.format.ffn,
        }
        if matrix.bits:
            arguments["SCALE"] = matrix.scale
        if matrix.bits in (2, 4):
            arguments |= {"SHIFT": matrix.shift, "BITS": matrix.bits, "GROUP": matrix.group}
        if matrix.bits == LOSSLESS12_BITS:
            arguments |= {"CODES": matrix.codes, "STARTS": matrix.starts, "STRAYS": matrix.strays}
        return arguments

    def _grouped(self, matrix: PackedMatrix, experts: int) -> dict[str, Any]:
        return self._stored(matrix) | {
            "SCALE": matrix.scale,
            "SHIFT": matrix.shift,
            "BITS": matrix.bits,
            "GROUP": matrix.group,
            "CODES": matrix.codes,
            "STARTS": matrix.starts,
            "STRAYS": matrix.strays,
            "WEIGHT": self._weight(matrix),
            "PRECISION": "ieee" if self.format.dtype == "float32" else "tf32",
            "EXPERTS": _bucket(experts),
        }

    def _weight(self, matrix: PackedMatrix) -> Any:
        """Triton's type of one stored item."""
        return {0: _TYPES[self.format.dtype], 8: tl.int8}.get(matrix.bits, tl.uint8)


def _bucket(experts: int) -> int:
    """Room for `experts` in a few sizes: each is a kernel of its own, and calls differ in their experts."""
    return 16 if experts <= 16 else max(128, int(triton.next_power_of_2(experts)))


@cache
def summing(hidden: int, choices: int) -> tuple[Launch, int]:
    """The weighted sum of so many columns and choices, and the programs of a token."""
    block = min(_COMBINED, triton.next_power_of_2(hidden))
    sizes = {"D": hidden, "K": choices, "CHOICES": triton.next_power_of_2(choices), "BLOCK": block}
    return Launch(weighted_sum, sizes, warps=4), -(-hidden // block)
