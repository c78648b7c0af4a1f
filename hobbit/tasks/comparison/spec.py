"""CellSpec: one cell to measure, with everything that determines its figures, digested to a key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from hobbit import __version__
from hobbit.api import Component
from hobbit.config.model import ModelOptions
from hobbit.config.schema import HobbitConfig
from hobbit.config.workload import Lengths
from hobbit.tasks.routing import find_trace
from hobbit.trace import Trace, bundled_trace
from hobbit.trace.bundled import DOMAINS
from hobbit.trace.fingerprint import fingerprint_of


@dataclass(frozen=True, slots=True)
class CellSpec:
    """`config` is resolved: it holds the policy's components, the device and the geometry that are named.

    `traces` are replayed, or lend their statistics where the geometry has another shape. `longest` is the
    longest sequence of the workload: what quality reserves KV for, so that cells of one `unit` share it.
    `high` is the precision that outputs are compared with, `words` what the user set, and `live` whether the
    speed of a lossy policy is that of a live run.
    `comparison` is the digest of what all cells of one table share, `unit` of all but the lengths, `key` of
    everything.
    """

    policy: str
    device: str
    geometry: str
    lengths: Lengths
    config: HobbitConfig
    traces: tuple[str, ...]
    longest: int
    high: str
    words: tuple[str, ...]
    live: bool
    comparison: str
    unit: str
    key: str


def digest(*values: object) -> str:
    """A short digest of plain values, dataclasses and enums: equal values, equal digests."""
    text = json.dumps(values, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def shared_values(config: HobbitConfig, traces: tuple[str, ...], live: bool) -> list[object]:
    """What all cells of one table have in common: version, memory, routing, model, workload and quality."""
    return [
        __version__, config.memory, config.seed, config.deterministic, config.workload, config.quality, live,
        _routing_digest(traces), fingerprint_of(Path(ModelOptions().location)),
    ]  # fmt: skip


def own_values(policy: str, config: HobbitConfig) -> list[object]:
    """What tells one row of a table from another: every option of its components, its device and geometry."""
    parts = (
        config.device, config.loader, config.prefetcher, config.cache, config.quantizer, config.router,
        config.batcher,
    )  # fmt: skip
    return [policy, parts, config.transfers, config.precision, config.geometry]


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return {"is": value.name, **asdict(value)} if isinstance(value, Component) else asdict(value)


@cache
def _routing_digest(names: tuple[str, ...]) -> str:
    """Of the traces that are replayed, and of the training ones that components may learn from."""
    found = hashlib.sha256()
    for trace in (*map(find_trace, names), *(bundled_trace(domain, "train") for domain in DOMAINS)):
        for array in _arrays(trace):
            found.update(array)
    return found.hexdigest()


def _arrays(trace: Trace) -> list[bytes]:
    names = ("token_ids", "pass_starts", "sequence_starts", "experts", "weights", "logits", "lookahead")
    arrays = (getattr(trace, name) for name in names)
    return [array.tobytes() for array in arrays if array is not None]
