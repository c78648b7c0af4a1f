"""The identity among routers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import Context, Effect, ResidencyView, RouterComponent, Routing


@dataclass
class PassthroughComponent(RouterComponent):
    """Leaves the routing as the model made it."""

    name: ClassVar[str] = "passthrough"
    effect: ClassVar[Effect] = Effect.HINT
    source: ClassVar[str] = "the model's own router"

    def build(self, context: Context) -> Passthrough:
        """The router transform."""
        return Passthrough()


class Passthrough:
    """Returns what it is given."""

    needs_logits = False
    depth = 0
    rewrites = False

    def transform(self, layer: int, routing: Routing, view: ResidencyView) -> Routing:
        """`routing` itself."""
        return routing
