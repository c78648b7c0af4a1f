"""The expert store: where the blobs of all experts lie, in host memory or on disk."""

from __future__ import annotations

from hobbit.store.disk import BlobDisk
from hobbit.store.fill import BlobSink, encode_expert, fill_store
from hobbit.store.memory import MemoryStore
from hobbit.store.open import open_store
from hobbit.store.tiered import TieredStore

__all__ = [
    "BlobDisk",
    "BlobSink",
    "MemoryStore",
    "TieredStore",
    "encode_expert",
    "fill_store",
    "open_store",
]
