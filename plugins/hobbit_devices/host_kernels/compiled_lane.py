"""The thread of the C file that runs one token's experts on the host, as Python drives it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from hobbit.errors import DeviceError
from hobbit_devices.host_kernels.compiled_ffn import CompiledFfn
from hobbit_devices.host_kernels.host_kernels import DTYPES, HostKernels
from hobbit_devices.host_kernels.host_team import HostTeam

MOST_PARTS = 64
"""Experts of one layer at most, as in the C file."""

PATIENCE_NS = 10**9
"""After which a wait looks whether the device is still well."""

_DTYPES = {getattr(torch, name): place for place, name in enumerate(DTYPES)}


class Part(ctypes.Structure):
    """`part` of the C file."""

    _fields_ = (
        ("expert", ctypes.c_void_p),
        ("blob", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("first", ctypes.c_int64),
        ("last", ctypes.c_int64),
    )


class Layer(ctypes.Structure):
    """`layer` of the C file."""

    _fields_ = (
        ("counter", ctypes.c_void_p),
        ("done", ctypes.c_void_p),
        ("hidden", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
        ("width", ctypes.c_int64),
        ("number", ctypes.c_int32),
        ("dtype", ctypes.c_int32),
        ("count", ctypes.c_int32),
    )


class HostPart(NamedTuple):
    """The first `units` hidden units of the expert in `blob`; their sum goes to `out`, float32 [d]."""

    ffn: CompiledFfn
    blob: torch.Tensor
    units: int
    out: torch.Tensor


class CompiledLane:
    """Runs layers one at a time, without Python: `post`, then `join`. Raises DeviceError without a thread.

    It computes with `team`, which it has for itself meanwhile. A layer has a number, one more than the last.
    It starts when `counter`, int32 [1] in host memory, has come to that: the device raises it behind the
    hidden state. When it is over, `done`, int32 [1], comes to it. `check` is called every second that a
    `join` waits, and raises if there is nothing to wait for.
    """

    most = MOST_PARTS

    def __init__(self, kernels: HostKernels, team: HostTeam, check: Callable[[], object]) -> None:
        library = self._library = kernels.library
        library.hobbit_lane_open.restype = ctypes.c_void_p
        library.hobbit_lane_busy_ns.restype = ctypes.c_int64
        self._check = check
        self._parts = (Part * MOST_PARTS)()
        self._places = list(self._parts)  # each look at an item makes an object
        self._layer = Layer()
        self._posted = ctypes.addressof(self._layer), ctypes.addressof(self._parts)
        # Python's lock is kept meanwhile: the call returns at once, and who gives it up may wait long for it.
        self._post = ctypes.PYFUNCTYPE(None, *(ctypes.c_void_p,) * 3)(("hobbit_lane_post", library))
        self._x = torch.empty(0)
        self._kept: object = None  # what the thread reads by address
        self._lane: ctypes.c_void_p | None = ctypes.c_void_p(
            library.hobbit_lane_open(ctypes.c_void_p(team.address), ctypes.c_int32(team.first))
        )
        if not self._lane:
            raise DeviceError("the system allows no thread for experts on the host")

    def post(
        self,
        parts: Sequence[HostPart],
        hidden: torch.Tensor,
        counter: torch.Tensor,
        done: torch.Tensor,
        number: int,
    ) -> None:
        """Start a layer of `parts`, MOST_PARTS at most, for `hidden` [1, d], once the last one is over."""
        self.join()
        for place, (ffn, blob, units, out) in zip(self._places, parts, strict=False):
            place.expert, place.scratch = ffn.addresses()
            place.blob, place.y, place.last = blob.data_ptr(), out.data_ptr(), units
        layer, width = self._layer, hidden.numel()
        if layer.width != width:
            self._x = torch.empty(width)
            layer.width, layer.x = width, self._x.data_ptr()
        layer.counter, layer.done = counter.data_ptr(), done.data_ptr()
        layer.hidden, layer.dtype = hidden.data_ptr(), _DTYPES[hidden.dtype]
        layer.number, layer.count = number, len(parts)
        self._kept = parts, hidden, counter, done
        self._post(self._lane, *self._posted)

    def join(self) -> None:
        """Wait for the layer that was posted, if one was."""
        while self._kept is not None:
            if self._library.hobbit_lane_join(self._lane, ctypes.c_int64(PATIENCE_NS)):
                self._kept = None
            else:
                self._check()

    def abandon(self) -> None:
        """Nobody wants what was posted: wait until the thread reads nothing more of it."""
        if self._lane is not None:
            self._library.hobbit_lane_give_up(self._lane)
            self.join()

    @property
    def busy_ns(self) -> int:
        """Nanoseconds of computing so far."""
        return 0 if self._lane is None else int(self._library.hobbit_lane_busy_ns(self._lane))

    def close(self) -> None:
        """End the thread; safe to call again."""
        if self._lane is not None:
            self._library.hobbit_lane_close(self._lane)
            self._lane = None
