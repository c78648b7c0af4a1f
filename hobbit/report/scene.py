"""Scene: what ran where and under which policy; the part that all reports share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING, Any

from hobbit import __version__
from hobbit.api import HIGH, Component
from hobbit.api.quantizer import LOSSLESS, NATIVE

if TYPE_CHECKING:
    from hobbit.assembly import Assembly
    from hobbit.config.schema import HobbitConfig


@dataclass(frozen=True, slots=True)
class Scene:
    """`simulated`: times come from a virtual clock; `synthetic`: the routing was generated, no model made it.

    `policy` names the component of each kind, `options` holds its options. `precisions` are the levels in
    use, high first; `lossy` is relative to the model at the first. `memory` has the rows of the budget: what,
    bytes, note. `notes` are for the user to read.
    """

    hobbit: str
    model: str
    device: str
    simulated: bool
    synthetic: bool
    geometry: str
    policy: Mapping[str, str]
    options: Mapping[str, Mapping[str, Any]]
    precisions: tuple[str, ...]
    lossy: bool
    seed: int
    memory: tuple[tuple[str, int, str], ...]
    notes: tuple[str, ...]

    @staticmethod
    def of(
        config: HobbitConfig,
        assembly: Assembly,
        notes: Sequence[str],
        model: str | None = None,
        synthetic: bool = False,
    ) -> Scene:
        """The scene of one assembled run; `model` is by default the one that the configuration names."""
        parts: list[Component] = [
            config.loader, config.prefetcher, config.cache, config.quantizer, config.router,
        ]  # fmt: skip
        if config.workload.waiting > 1:
            parts.append(config.batcher)
        device = config.setup().device
        return Scene(
            hobbit=__version__,
            model=config.model.label if model is None else model,
            device=device.label or device.name,
            simulated=device.simulated,
            synthetic=synthetic,
            geometry=assembly.context.geometry.name,
            policy={part.kind: part.name for part in parts},
            options={part.kind: _options(part) for part in parts},
            precisions=assembly.precisions,
            lossy=not assembly.exact,
            seed=config.seed,
            memory=tuple(assembly.plan.describe() + (assembly.host.describe() if assembly.host else [])),
            notes=tuple(notes),
        )

    @property
    def clock(self) -> str:
        """Whose seconds these are, for titles."""
        return "simulated clock" if self.simulated else "live"

    @property
    def loss(self) -> str:
        """What outputs are worth, for titles."""
        high = self.precisions[HIGH]
        return f"{'lossy' if self.lossy else 'lossless'} against {NATIVE if high in LOSSLESS else high}"


def _options(component: Component) -> dict[str, Any]:
    values = {option.name: getattr(component, option.name) for option in fields(component)}
    return {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}
