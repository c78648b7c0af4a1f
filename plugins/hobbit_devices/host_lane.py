"""Experts that run on the host, beside the device."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from hobbit_devices.host_kernels.compiled_lane import CompiledLane
    from hobbit_devices.host_kernels.host_kernels import HostKernels
    from hobbit_devices.host_kernels.host_team import HostTeam


class HostLane:
    """Runs work in order: on a thread of its own, or at once where the device is the host itself.

    `settle` is called first on that thread, to choose its cores. `kernels`, where there are any, are what
    experts are computed with there, by `team`; `compiled` runs one token's without Python.
    """

    def __init__(
        self,
        threaded: bool,
        settle: Callable[[], None] | None = None,
        kernels: HostKernels | None = None,
        team: HostTeam | None = None,
        compiled: CompiledLane | None = None,
    ) -> None:
        self.kernels = kernels
        self.team = team
        self.compiled = compiled
        self._pool = ThreadPoolExecutor(1, "hobbit-host", settle) if threaded else None
        self._pending: list[Future[None]] = []
        self._busy_ns = 0

    @property
    def busy_ns(self) -> int:
        """Nanoseconds of work so far."""
        return self._busy_ns + (0 if self.compiled is None else self.compiled.busy_ns)

    def start(self, work: Callable[[], None], queue: AbstractContextManager[Any]) -> None:
        """Start `work`, inside `queue` if it runs on the other thread."""
        if self._pool is None:
            self._timed(work)
            return
        inference = torch.is_inference_mode_enabled()  # a thread's own setting, as is the grad mode

        def beside() -> None:
            with torch.inference_mode(inference), torch.no_grad(), queue:
                self._timed(work)

        self._pending.append(self._pool.submit(beside))

    def join(self) -> int:
        """Wait for all that was started; the nanoseconds that took. Raises what the work raised."""
        start = perf_counter_ns()
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()
        if self.compiled is not None:
            self.compiled.join()
        return perf_counter_ns() - start

    def abandon(self) -> None:
        """Wait for what a pass that failed has left, whatever becomes of it."""
        pending, self._pending = self._pending, []
        wait(pending)
        if self.compiled is not None:
            self.compiled.abandon()

    def close(self) -> None:
        """Stop the thread; safe to call again."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        if self.compiled is not None:
            self.compiled.close()
        if self.team is not None:
            self.team.close()

    def _timed(self, work: Callable[[], None]) -> None:
        start = perf_counter_ns()
        work()
        self._busy_ns += perf_counter_ns() - start
