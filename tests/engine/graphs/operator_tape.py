"""A tape for the CPU: the operators that torch dispatched, run again on the same tensors.

As in a CUDA graph, nothing runs while it records what would change a tensor in place, tensors keep their
addresses, and a replay is blind to Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hobbit.engine.graphs.tape import Replay, Wait

_WAITS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::item")


class _Recorder(TorchDispatchMode):
    def __init__(self, calls: list[tuple[Any, Any, Any, Any]]) -> None:
        super().__init__()
        self._calls = calls

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name, schema = func._schema.name, func._schema
        if name in _WAITS:
            raise RuntimeError(f"{name}: operation not permitted when stream is capturing")
        if schema.is_mutable:
            self._calls.append((func, args, kwargs, None))
            return args[0]
        out = func(*args, **kwargs)
        if not any(result.alias_info for result in schema.returns):
            self._calls.append((func, args, kwargs, out))
        return out


class OperatorTape:
    """Meets `Tape`."""

    def __init__(self) -> None:
        self.replays = 0
        self.plays = 0
        self._mode: _Recorder | None = None
        self._calls: list[tuple[Any, Any, Any, Any]] = []

    @contextmanager
    def recording(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self._mode is not None:
                self.end()

    def begin(self) -> None:
        self._calls = []
        self._mode = _Recorder(self._calls)
        self._mode.__enter__()

    def end(self) -> Replay:
        assert self._mode is not None
        self._mode.__exit__(None, None, None)
        self._mode = None
        calls, self._calls = self._calls, []

        def replay() -> None:
            self.replays += 1
            for func, args, kwargs, out in calls:
                again = func(*args, **kwargs)
                if out is None:
                    continue
                for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor):
                        old.copy_(new)

        return replay

    @contextmanager
    def playing(self) -> Iterator[None]:
        self.plays += 1
        yield

    def host(self, tensor: torch.Tensor) -> torch.Tensor:
        return torch.empty(tensor.shape, dtype=tensor.dtype)

    def mark(self) -> Wait:
        """Everything is done when it returns."""
        return lambda: None

    def waiting(self) -> Wait:
        return lambda: None
