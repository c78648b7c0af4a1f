"""Setup: the components and options that make one runtime, whatever they came from."""

from __future__ import annotations

from dataclasses import dataclass, field

from hobbit.api.component import (
    BatcherComponent,
    CacheComponent,
    DeviceComponent,
    LoaderComponent,
    PrefetcherComponent,
    QuantizerComponent,
    RouterComponent,
)
from hobbit.sizes import parse_size
from hobbit.types import RecordScope


@dataclass
class MemoryOptions:
    """`device` and `host`: budgets such as "12GB" (auto: what the device has). `context`: tokens of KV cache
    to reserve (0: the prompt and max_new_tokens)."""

    device: str = "auto"
    host: str = "auto"
    context: int = 0


@dataclass
class PrecisionOptions:
    """The precision pair; "auto" takes the device's. "native" is the checkpoint's own dtype: lossless, and so
    is "lossless12", bfloat16 in three quarters of the bytes."""

    high: str = "auto"
    low: str = "auto"


@dataclass
class TransferOptions:
    """`block`: bytes after which an urgent copy may interrupt a prefetch ("0": never; HOBBIT; "auto": the
    device's). `window`: prefetches issued at most per layer, the rest waits in the queue (0: no limit)."""

    block: str = "auto"
    window: int = 0


@dataclass
class QueueOptions:
    """`waiting`: requests served at once (1: there is no queue), in passes of at most `budget` tokens."""

    waiting: int = 1
    budget: int = 16


@dataclass
class Setup:
    """One policy on one device: everything `hobbit.assembly` needs besides the model.

    `batcher` is asked in replays of a queue of requests, and nowhere else.
    """

    device: DeviceComponent
    loader: LoaderComponent
    prefetcher: PrefetcherComponent
    cache: CacheComponent
    quantizer: QuantizerComponent
    router: RouterComponent
    transfers: TransferOptions = field(default_factory=TransferOptions)
    memory: MemoryOptions = field(default_factory=MemoryOptions)
    precision: PrecisionOptions = field(default_factory=PrecisionOptions)
    records: RecordScope = RecordScope.sequence
    seed: int = 0
    deterministic: bool = True
    batcher: BatcherComponent | None = None
    queue: QueueOptions = field(default_factory=QueueOptions)

    @property
    def block_bytes(self) -> int:
        """Bytes after which an urgent copy may interrupt a prefetch; 0: never."""
        if self.transfers.block == "auto":
            return parse_size(self.device.block, "device.block")
        return parse_size(self.transfers.block, "transfers.block")

    @property
    def needs_future(self) -> bool:
        """True if some component is an oracle, to be built with the recorded demand stream."""
        return self.cache.needs_future or self.prefetcher.needs_future
