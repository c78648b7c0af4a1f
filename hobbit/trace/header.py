"""The header of a trace: what was recorded, from which model, and how to read the arrays beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from hobbit.errors import TraceError
from hobbit.types import RoutingShape

FORMAT = "hobbit-trace"
VERSION = 1
ROUTER = "softmax_topk_renormalised"
"""Router kind: softmax over the E logits, the K largest chosen, their weights divided by their sum."""

LIVE = "live"
SYNTHETIC = "synthetic"
DTYPES = ("bfloat16", "float16", "float32")


@dataclass(frozen=True, slots=True)
class TraceHeader:
    """Everything about a trace that is not an array.

    `dtype` is the torch name of the dtype that the logits were computed in; `depth` the look-ahead layers
    kept (0: none). `origin` is "live" (a model ran) or "synthetic" (generated). `fingerprint` identifies the
    weights and the tokenizer; `details` holds whatever else the maker states (sampling, statistics).
    """

    model: str
    layers: int
    experts: int
    top_k: int
    depth: int = 0
    dtype: str = "bfloat16"
    domain: str = ""
    part: str = ""
    seed: int = 0
    router: str = ROUTER
    origin: str = LIVE
    fingerprint: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> RoutingShape:
        """Layers, experts and top-K of the model."""
        return RoutingShape(self.layers, self.experts, self.top_k)

    @property
    def expert_dtype(self) -> npt.DTypeLike:
        """The smallest numpy dtype that counts this many experts."""
        return np.uint8 if self.experts <= 256 else np.uint16

    @property
    def synthetic(self) -> bool:
        """True if no model ran: every table that uses the trace must say so."""
        return self.origin == SYNTHETIC

    def to_json(self) -> dict[str, Any]:
        """The header as it stands in the file."""
        return {"format": FORMAT, "version": VERSION} | asdict(self)

    @staticmethod
    def from_json(values: Any) -> TraceHeader:
        """The header that `values` describe.

        Raises:
            TraceError: if they are not a trace's, or of a newer version, or a field is missing or malformed.
        """
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise TraceError(f"its header does not say {FORMAT!r}; it was not written by hobbit")
        version = values.get("version")
        if not isinstance(version, int) or version < 1:
            raise TraceError(f"its version {version!r} is not a number; record it again")
        if version > VERSION:
            raise TraceError(
                f"its version {version} is newer than {VERSION}, the last this hobbit reads; upgrade hobbit"
            )
        return _header(values)


def _header(values: Mapping[str, Any]) -> TraceHeader:
    known = {name.name: values[name.name] for name in fields(TraceHeader) if name.name in values}
    kinds = {"details": dict} | dict.fromkeys(("layers", "experts", "top_k", "depth", "seed"), int)
    for name, value in known.items():
        if not isinstance(value, kinds.get(name, str)) or isinstance(value, bool):
            raise TraceError(f"its header says {name}={value!r}, which is of the wrong type; record it again")
    missing = {"model", "layers", "experts", "top_k", "dtype"} - known.keys()
    if missing:
        raise TraceError(f"its header lacks {', '.join(sorted(missing))}; record it again")
    header = TraceHeader(**known)
    if header.dtype not in DTYPES or header.origin not in (LIVE, SYNTHETIC):
        raise TraceError(
            f"its header says {header.dtype!r}, {header.origin!r}: not a dtype and an origin hobbit knows"
        )
    return header
