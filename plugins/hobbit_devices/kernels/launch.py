"""Launches that skip Triton's binder: it takes the host longer than a small kernel takes the GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

ALIGNED = 16
"""Bytes, or a divisor of numbers: what Triton tells apart when it compiles."""


class Launch:
    """A kernel of Triton's, its last parameters bound to `bound`, to be launched in `warps` warps.

    The first call with arguments of some dtypes goes through Triton's binder, which compiles. Later ones hand
    bare pointers to what it compiled, on the current stream, provided that all that Triton specialises on is
    a multiple of 16, as it was then. All other calls take the binder's way, and so does every call in the
    interpreter and with a Triton whose launcher is not the one known here. Triton's launch hooks are not
    called, and nobody checks that the tensors are on the current device.
    """

    def __init__(self, kernel: Any, bound: Mapping[str, Any], warps: int) -> None:
        names = kernel.arg_names[-len(bound) :]
        assert set(names) == set(bound), (names, bound)
        self._kernel = kernel
        self._keywords = {**bound, "num_warps": warps}
        self._bound = tuple(_bare(bound[name]) for name in names)
        self._specialized: tuple[int, ...] = ()
        self._compiled: dict[tuple[Any, ...], tuple[Any, Any, Any]] = {}
        params = getattr(kernel, "params", None)  # the interpreter's have none
        self.direct = params is not None
        """Whether to try; set it to False to take the binder's way always."""
        if params is not None:
            self._specialized = tuple(
                at
                for at, param in enumerate(params[: -len(bound)])
                if not param.do_not_specialize_on_alignment
            )

    def __call__(self, grid: tuple[int, int], tensors: tuple[torch.Tensor, ...], *numbers: int) -> None:
        """Launch on `tensors`, then `numbers` (none of them 1), then what is bound."""
        if not self.direct:
            self.through_triton(grid, tensors, *numbers)
            return
        pointers = [tensor.data_ptr() for tensor in tensors]
        values = (*pointers, *numbers)
        low = 0
        for at in self._specialized:
            low |= values[at]
        if low % ALIGNED:
            self.through_triton(grid, tensors, *numbers)
            return
        device = torch._C._cuda_getDevice()
        key = (device, *[tensor.dtype for tensor in tensors])
        ready = self._compiled.get(key)
        if ready is None:
            self._keep(key, self.through_triton(grid, tensors, *numbers))
            return
        run, function, metadata = ready
        stream = torch._C._cuda_getCurrentRawStream(device)
        try:
            run(*grid, 1, stream, function, metadata, None, None, None, *values, *self._bound)
        except TypeError:  # a launcher of other arguments, which has launched nothing
            self.direct = False
            self.through_triton(grid, tensors, *numbers)

    def through_triton(self, grid: tuple[int, int], tensors: tuple[torch.Tensor, ...], *numbers: int) -> Any:
        """The same, bound by Triton; what it compiled."""
        return self._kernel[grid](*tensors, *numbers, **self._keywords)

    def _keep(self, key: tuple[Any, ...], compiled: Any) -> None:
        """Take this next time, if it is what we know how to launch."""
        try:
            known = compiled.metadata.target.backend == "cuda"  # others specialise on more
            found = (compiled.run, compiled.function, compiled.packed_metadata)
        except AttributeError:
            known = False
        if known:
            self._compiled[key] = found
        else:
            self.direct = False


def _bare(value: Any) -> Any:
    """A pointer, which the launcher need not look up; memory of the host it has to."""
    return value.data_ptr() if isinstance(value, torch.Tensor) and value.is_cuda else value
