"""The threads of the C files that share out one expert's loops."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

from hobbit.errors import DeviceError
from hobbit_devices.host_kernels.host_kernels import HostKernels


class HostTeam:
    """As many threads as `processors`, each bound to one of them but for the first, which is whoever calls.

    `first` is that one's processor, which the caller may bind itself to. For one caller at a time. Raises
    DeviceError if the system allows no more threads.
    """

    def __init__(self, kernels: HostKernels, processors: Sequence[int]) -> None:
        self._library = kernels.library
        self._library.hobbit_team_open.restype = ctypes.c_void_p
        self._process = os.getpid()
        self.first = processors[0]
        numbers = (ctypes.c_int32 * len(processors))(*processors)
        self._team = self._library.hobbit_team_open(numbers, ctypes.c_int32(len(processors)))
        if not self._team:
            raise DeviceError(f"the system allows no {len(processors)} threads for experts on the host")

    @property
    def address(self) -> int | None:
        """Where the C files find it; None, that is the caller alone, once it is closed or after a fork."""
        return self._team if os.getpid() == self._process else None

    def close(self) -> None:
        """End the threads; safe to call again."""
        team, self._team = self.address, None
        if team is not None:
            self._library.hobbit_team_close(ctypes.c_void_p(team))
