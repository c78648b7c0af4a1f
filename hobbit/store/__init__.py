"""The expert store: where the blobs of all experts lie, on the host's side."""

from __future__ import annotations

from hobbit.store.fill import BlobSink, fill_store
from hobbit.store.memory import MemoryStore

__all__ = ["BlobSink", "MemoryStore", "fill_store"]
