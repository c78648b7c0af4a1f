"""An expert on the host, by the compiled kernel."""

from __future__ import annotations

import ctypes

import torch

from hobbit_devices.host_kernels.host_kernels import DTYPES, Expert, HostKernels
from hobbit_devices.host_kernels.host_team import HostTeam
from hobbit_devices.kernels.formats import LOSSLESS12_BITS, ExpertFormat

BLOCK = 64
"""What the columns of a matrix of 12 bits are filled up to in the scratch, at most."""


def fits(format: ExpertFormat) -> bool:
    """Whether the kernel can run experts of this format."""
    if format.dtype not in DTYPES or format.up.rows != 2 * format.ffn:
        return False
    if format.up.bits == LOSSLESS12_BITS:
        return format.dtype == "bfloat16" and format.hidden % 8 == format.ffn % 8 == 0
    return all(
        matrix.bits not in (2, 4)
        or (matrix.group % 16 == matrix.columns % matrix.group == 0 and matrix.rows % matrix.planes == 0)
        for matrix in (format.up, format.down)
    )


class CompiledFfn:
    """down_proj (silu(gate) * up) in float32 throughout, from blobs of one format, one call at a time.

    `cut`: units of F that a part begins and ends at; 0: there are no parts (int2, whose bytes hold units
    that lie far apart). `units` is F. Without a `team` the caller computes alone.
    """

    name = "host kernel"

    def __init__(self, kernels: HostKernels, format: ExpertFormat, team: HostTeam | None = None) -> None:
        self._kernels = kernels
        self._expert = Expert.of(format)
        self._address = ctypes.addressof(self._expert)
        self.units = format.ffn
        self._team = team
        self._room = _room(format)
        self._scratch = self._wide = torch.empty(0)
        self.cut = format.cut  # a vector or more, and whole groups

    def addresses(self) -> tuple[int, int]:
        """For one token: where the C file finds the expert's form, and room for what lies in between."""
        if len(self._scratch) < self._room:
            self._scratch = torch.empty(self._room)
        return self._address, self._scratch.data_ptr()

    def __call__(
        self, x: torch.Tensor, blob: torch.Tensor, out: torch.Tensor, units: tuple[int, int] | None = None
    ) -> None:
        """Fill float32 `out` [t, d] from x [t, d]: the expert, or what its units first to last give of it."""
        tokens = len(x)
        if x.dtype != torch.float32 or not x.is_contiguous():
            x = self._widened(x)
        if len(self._scratch) < tokens * self._room:
            self._scratch = torch.empty(tokens * self._room)
        self._kernels.expert(
            None if self._team is None else self._team.address,
            self._expert,
            blob.data_ptr(),
            tokens,
            x.data_ptr(),
            self._scratch.data_ptr(),
            out.data_ptr(),
            units or (0, self.units),
        )

    def _widened(self, x: torch.Tensor) -> torch.Tensor:
        if self._wide.shape != x.shape:  # a view of a larger one would take longer than the copy
            with torch.inference_mode(False):  # whichever mode the next call is in may write it
                self._wide = torch.empty(x.shape)
        return self._wide.copy_(x)


def _room(format: ExpertFormat) -> int:
    """Numbers of scratch that a token takes."""
    if format.up.bits == LOSSLESS12_BITS:
        return sum(-(-size // BLOCK) * BLOCK for size in (format.hidden, format.ffn))
    groups = [matrix.columns // matrix.group for matrix in (format.up, format.down) if matrix.group]
    return format.ffn + sum(groups)
