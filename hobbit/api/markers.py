"""The pluggy markers of the project."""

from __future__ import annotations

import pluggy

PROJECT = "hobbit"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
