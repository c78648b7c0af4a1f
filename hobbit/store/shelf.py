"""Shelf: the host's buffers for blobs of one level. Not safe for threads by itself: `TieredStore` locks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, auto

import torch

from hobbit.store.miss_frequency import MissFrequency


class State(Enum):
    """What is in a buffer."""

    EMPTY = auto()
    FILLING = auto()
    FULL = auto()


class Buffer:
    """Host memory for one blob, `tensor` uint8 [nbytes]. `users` read or fill it now.

    `ahead`: it was filled before anybody asked, at that count of requests; None: it has been asked for.
    """

    __slots__ = ("ahead", "row", "state", "tensor", "users")

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        self.row = -1
        self.state = State.EMPTY
        self.users = 0
        self.ahead: int | None = None


class Shelf:
    """As many buffers as `policy` has places, and some more for blobs that only pass through.

    A blob whose place is lost stays until its buffer is wanted, so what is kept follows from the order of
    requests alone, and only what passes through depends on how fast it does.
    """

    def __init__(self, buffers: Sequence[torch.Tensor], policy: MissFrequency) -> None:
        self.policy = policy
        self.spare = len(buffers) - policy.places
        self._free = [Buffer(tensor) for tensor in reversed(buffers)]
        self._held: dict[int, Buffer] = {}  # the longest there first

    def find(self, row: int) -> Buffer | None:
        """The buffer of a blob that is here, or on its way here."""
        return self._held.get(row)

    def take(self, row: int, overdue: int | None = None) -> Buffer | None:
        """An empty buffer for `row`; None if none is to be had now.

        Free ones first, then those of blobs that passed through, then those that were read ahead, then those
        of kept blobs. With `overdue` (reading ahead): only blobs read ahead before that count of requests,
        and never kept ones, make room.
        """
        buffer = self._free.pop() if self._free else self._reclaim(overdue)
        if buffer is not None:
            buffer.row, buffer.state, buffer.ahead = row, State.EMPTY, None
            self._held[row] = buffer
        return buffer

    def drop(self, buffer: Buffer) -> None:
        """What was to come did not: the buffer is free again."""
        buffer.state = State.EMPTY
        del self._held[buffer.row]
        self._free.append(buffer)

    def _reclaim(self, overdue: int | None) -> Buffer | None:
        idle = [buffer for buffer in self._held.values() if not buffer.users]
        passed = [buffer for buffer in idle if not self.policy.keeps(buffer.row)]
        buffer = _first(buffer for buffer in passed if buffer.ahead is None)
        if buffer is None and overdue is not None:
            buffer = _first(b for b in passed if b.ahead is not None and b.ahead < overdue)
        elif buffer is None:
            buffer = _first(passed) or _first(idle)
        if buffer is not None:
            del self._held[buffer.row]
        return buffer


def _first(buffers: Iterable[Buffer]) -> Buffer | None:
    return next(iter(buffers), None)
