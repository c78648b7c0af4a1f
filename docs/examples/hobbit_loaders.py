from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import HIGH, SKIPPED, Action, Context, Decision, Effect, LoaderComponent, hookimpl


@dataclass
class FirstChoiceComponent(LoaderComponent):
    """Loads what some token ranks first; other experts are used where they are resident, else skipped."""

    name: ClassVar[str] = "first_choice"
    effect: ClassVar[Effect] = Effect.QUALITY

    def build(self, context: Context) -> "FirstChoice":
        return FirstChoice()


class FirstChoice:
    levels = 1
    renormalise = True
    whole_layers = False

    def resolve(self, layer, demands, held):
        return [self.decide(demand, mask) for demand, mask in zip(demands, held, strict=True)]

    def decide(self, demand, mask):
        if mask & 1:
            return Decision(Action.USE, HIGH)
        return SKIPPED if self.level_for(demand.score) is None else Decision(Action.LOAD, HIGH)

    def level_for(self, score):
        return HIGH if score == 0 else None


@hookimpl
def hobbit_loaders():
    return [FirstChoiceComponent]
