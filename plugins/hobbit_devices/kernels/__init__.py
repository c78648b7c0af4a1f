"""The expert FFN on the blobs in a device's slots, without a decoded copy: Triton kernels, and a reference.

    kernels, reason = build_kernels(layout, pool, "silu")
    kernels.run(x, slots, tokens, out)                           # one token: P pairs of (slot, token)
    kernels.run(x, slots, tokens, out, first)                    # only the hidden units from `first` on
    kernels.run_grouped(x, slots, offsets, tokens, out)          # more: pairs sorted by expert
    kernels.combine(out, weights, experts, rows, final)

`supports` says which experts these can run, `available` whether Triton's run here; `build_kernels` falls back
on plain torch and says why. Importing this package needs no Triton.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hobbit_devices.kernels.support import available, supports

if TYPE_CHECKING:
    import torch

    from hobbit.api import BlobLayout

__all__ = ["Kernels", "available", "build_kernels", "supports"]


class Kernels(Protocol):
    """What both implementations do; shapes in `ExpertKernels`. T tokens, P pairs of a token and an expert."""

    @property
    def cut(self) -> int:
        """What `first` must be a multiple of; 0: experts of this format cannot be cut."""
        ...

    def run(
        self, x: torch.Tensor, slots: torch.Tensor, tokens: torch.Tensor, out: torch.Tensor, first: int = 0
    ) -> None:
        """One pair after another: made for T = 1. `first` leaves out the hidden units before it."""
        ...

    def run_grouped(
        self,
        x: torch.Tensor,
        slots: torch.Tensor,
        offsets: torch.Tensor,
        tokens: torch.Tensor,
        out: torch.Tensor,
    ) -> None:
        """Pairs sorted by expert: made for T > 1."""
        ...

    def combine(
        self,
        out: torch.Tensor,
        weights: torch.Tensor,
        experts: torch.Tensor,
        rows: torch.Tensor,
        final: torch.Tensor,
    ) -> None:
        """The weighted sum in ascending order of experts, whatever ran when."""
        ...


def build_kernels(
    layout: BlobLayout, pool: torch.Tensor, activation: str = "silu"
) -> tuple[Kernels, str | None]:
    """Kernels for a pool uint8 [S, stride] of blobs, and why they are plain torch (None: they are Triton's).

    Raises DeviceError if neither can run experts of this layout (`supports`).
    """
    from hobbit.errors import DeviceError

    unsupported = supports(layout, activation)
    if unsupported is not None:
        raise DeviceError(unsupported)
    reason = available(pool.device)
    if reason is not None:
        from hobbit_devices.kernels.reference import ReferenceKernels

        return ReferenceKernels(layout, pool, activation), reason
    from hobbit_devices.kernels.expert_kernels import ExpertKernels

    return ExpertKernels(layout, pool, activation), None
