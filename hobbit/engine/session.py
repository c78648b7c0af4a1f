"""Session: a loaded model with its runtime attached, ready to generate and to be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hobbit.api import Geometry, Past, no_past
from hobbit.assembly import Assembly, assemble
from hobbit.engine.anatomy import find_layers
from hobbit.engine.attach import attach
from hobbit.engine.attachment import Attachment
from hobbit.engine.geometry import measure_geometry
from hobbit.engine.live import LiveExperts
from hobbit.engine.origin import origin_of
from hobbit.errors import ConfigError
from hobbit.runtime import Observer
from hobbit.setup import Setup
from hobbit.trace import TraceHeader, TraceRecorder

LOOKAHEAD_RECORDED = 4
"""Layers of gate look-ahead that a recorded trace keeps, whatever the policy that ran needs."""


@dataclass
class Session:
    """Close it, or use it as a context manager, to give memory and threads back."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    live: LiveExperts
    assembly: Assembly
    attachment: Attachment
    recorder: TraceRecorder | None

    @property
    def notes(self) -> list[str]:
        """What the user should know about this run."""
        return [*self.assembly.notes, *self.attachment.notes]

    def close(self, restore: bool = True) -> bool:
        """Detach and release the device. Returns False if the model is not whole again, see `Attachment`."""
        whole = self.attachment.detach(restore)
        self.assembly.close()
        return whole

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_session(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    setup: Setup,
    *,
    name: str,
    tokens: int,
    geometry: Geometry | None = None,
    record: bool = False,
    future: npt.NDArray[np.int64] | None = None,
    past: Past = no_past,
    observers: Sequence[Observer] = (),
    keep: bool = False,
) -> Session:
    """Put `setup` behind the experts of `model`.

    `geometry` is what bytes and flops are charged from (None: the model's own); `tokens` the KV cache to
    reserve for; `record` keeps the routing as a trace; `future` is for oracles, `past` for what learns. With
    `keep`, closing the session always makes the model whole again.

    Raises:
        ModelError, ConfigError, BudgetError, DeviceError: if the parts do not fit one another.
    """
    layers = find_layers(model)
    own = measure_geometry(model, layers, name)
    charged = own if geometry is None else _fitting(geometry, own)
    live = LiveExperts(layers, setup.device.pinned, origin_of(model))
    assembly = assemble(
        setup, charged, tokens=tokens, live=live, observers=observers, future=future, past=past
    )
    depth = max(assembly.runtime.depth, LOOKAHEAD_RECORDED) if record else None
    recorder = None if depth is None else TraceRecorder(_header(own, name, depth, setup.seed))
    try:
        graphs = setup.device.records_steps()
        attachment = attach(model, assembly.runtime, live, recorder, depth, graphs, keep)
    except BaseException:
        assembly.close()
        raise
    return Session(model, tokenizer, live, assembly, attachment, recorder)


def _fitting(geometry: Geometry, own: Geometry) -> Geometry:
    if geometry.shape != own.shape:
        raise ConfigError(
            f"geometry={geometry.name} has {geometry.layers} layers of {geometry.experts} experts, top-"
            f"{geometry.top_k}, the model {own.layers} of {own.experts}, top-{own.top_k}; a live run takes a "
            "geometry of the model's own shape (other shapes: task=simulate)"
        )
    return geometry


def _header(own: Geometry, name: str, depth: int, seed: int) -> TraceHeader:
    return TraceHeader(name, own.layers, own.experts, own.top_k, depth=depth, dtype=own.dtype, seed=seed)
