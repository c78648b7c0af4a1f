"""What travels inside the package: the bundled model, its traces, and held-out prompts."""

from __future__ import annotations
