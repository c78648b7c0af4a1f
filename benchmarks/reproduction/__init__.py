"""The papers' figures beside ours: `python -m benchmarks.reproduction` writes docs/reproduction.md."""

from __future__ import annotations
