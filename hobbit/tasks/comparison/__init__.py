"""The comparison: a grid of cells, measured in parallel, kept in a file that a later call goes on with."""

from __future__ import annotations
