"""hobbit: mixed-precision expert offloading for Mixture-of-Experts models, and the bench for its policies."""

from __future__ import annotations

__version__ = "0.1.0"
