"""Bundles: a model on disk, its experts encoded once, each blob where one read finds it (docs/bundles.md)."""

from __future__ import annotations

from hobbit.store.bundle.index import BundleIndex
from hobbit.store.bundle.level import BlobFile, BundleLevel

__all__ = ["BlobFile", "BundleIndex", "BundleLevel"]
