"""chat=true: talk to a model, turn by turn, on one runtime."""

from __future__ import annotations

from hobbit.tasks.chat.session import chat

__all__ = ["chat"]
