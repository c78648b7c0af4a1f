"""What a run says of itself: measures, tables, progress, JSON."""

from __future__ import annotations
