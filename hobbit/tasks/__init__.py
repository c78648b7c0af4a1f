"""What a run does: one task a module, imported when `task=` names it (`hobbit.config.tasks`)."""

from __future__ import annotations
