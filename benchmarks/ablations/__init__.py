"""Ablations: HOBBIT with one thing changed at a time."""

from __future__ import annotations
