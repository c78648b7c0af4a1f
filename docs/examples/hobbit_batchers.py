from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import BatcherComponent, Context, Effect, hookimpl


@dataclass
class OneByOneComponent(BatcherComponent):
    """Runs every waiting token by itself, the last who came first."""

    name: ClassVar[str] = "one_by_one"
    effect: ClassVar[Effect] = Effect.HINT

    def build(self, context: Context) -> "OneByOne":
        return OneByOne()


class OneByOne:
    def arrange(self, routes, budget):
        return [[token] for token in reversed(range(len(routes)))]


@hookimpl
def hobbit_batchers():
    return [OneByOneComponent]
