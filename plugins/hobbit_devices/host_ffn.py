"""One gated expert on the host, from its blob, without a decoded copy of the whole where that can be."""

from __future__ import annotations

import torch

from hobbit.api import BlobLayout, Quantizer
from hobbit.errors import DeviceError
from hobbit_devices.host_kernels.compiled_ffn import CompiledFfn, fits
from hobbit_devices.host_kernels.few_tokens import few_tokens
from hobbit_devices.host_kernels.host_kernels import HostKernels
from hobbit_devices.host_kernels.host_team import HostTeam
from hobbit_devices.kernels.formats import ExpertFormat
from hobbit_devices.torch_ffn import TorchFfn


class HostFfn:
    """down_proj (silu(gate) * up), (gate, up) the halves of gate_up_proj x, on blobs of one layout.

    A few tokens go through the `compiled` kernels where there are any for the blobs' `format` (None: it is
    none that kernels know), more through torch; `name` says what one token takes. `cut` is what the ends of a
    part of the F units must be multiples of (F itself may be one); 0: there are no parts. Not for two threads
    at once: calls share their scratch.
    """

    def __init__(
        self,
        layout: BlobLayout,
        quantizer: Quantizer,
        kernels: HostKernels | None = None,
        team: HostTeam | None = None,
    ) -> None:
        self._layout = layout
        self._torch = TorchFfn(layout, quantizer)
        self.format = _format(layout)
        self.compiled, self._few = _compiled(self.format, kernels, team)
        first = self.compiled or self._torch
        self.name, self.cut = first.name, first.cut

    def __call__(
        self, x: torch.Tensor, blob: torch.Tensor, out: torch.Tensor, units: tuple[int, int] | None = None
    ) -> None:
        """Fill float32 `out` [t, d] from x [t, d] of any float dtype.

        With `units` (first, last): what those of F give, so that disjoint parts add up to the whole. Raises
        ValueError if they are none that `cut` allows.
        """
        if units is not None:
            self._check(*units)
        whole = units is None or self._torch.cut > 0
        if self.compiled is None or (whole and len(x) > self._few):
            self._torch(x, blob, out, units)
        else:
            self.compiled(x, blob, out, units)

    def _check(self, first: int, last: int) -> None:
        cut, units = self.cut, dict(self._layout.tensors)["down_proj"].shape[1]
        ends = cut and all(end % cut == 0 or end == units for end in (first, last))
        if not ends or not 0 <= first <= last <= units:
            allowed = f"parts of {units} in steps of {cut}" if cut else "no parts"
            raise ValueError(f"units {first} to {last} of an expert by {self.name}: it has {allowed}")


def _format(layout: BlobLayout) -> ExpertFormat | None:
    try:
        return ExpertFormat.of(layout)
    except DeviceError:
        return None


def _compiled(
    format: ExpertFormat | None, kernels: HostKernels | None, team: HostTeam | None
) -> tuple[CompiledFfn | None, int]:
    """The compiled expert, and up to how many tokens it is the faster one."""
    if kernels is None or format is None or not fits(format):
        return None, 0
    return CompiledFfn(kernels, format, team), few_tokens(format)
