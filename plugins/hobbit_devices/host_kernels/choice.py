"""What the host multiplies experts with."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hobbit_devices.host_kernels.host_kernels import HostKernels


class HostMaths(Enum):
    """What experts on the host are computed with."""

    auto = "auto"  # a small C library, compiled here, where there is a compiler
    torch = "torch"  # torch alone: nothing is ever compiled


def choose_kernels(maths: HostMaths, notes: list[str]) -> HostKernels | None:
    """The compiled kernels, if wanted and to be had; a note says why not."""
    if maths is HostMaths.torch:
        return None
    from hobbit_devices.host_kernels.loading import load

    kernels, reason = load()
    if reason is not None:
        notes.append(
            f"no compiled host kernels ({reason}): experts on the host run in torch, native ones at about "
            "half the memory's speed, lossless12, int4 and int2 far slower; install gcc or clang, or set CC"
        )
    return kernels
