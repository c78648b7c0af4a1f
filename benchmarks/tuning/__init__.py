"""Tuned values of the presets, found on the bundled train traces and judged on the test traces."""

from __future__ import annotations
