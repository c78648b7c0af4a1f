"""RunReport: everything that one run has to say, as data. Tables and JSON are two faces of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hobbit import __version__
from hobbit.api import HIGH
from hobbit.report.measures import Measures

if TYPE_CHECKING:
    from hobbit.assembly import Assembly
    from hobbit.config.schema import HobbitConfig
    from hobbit.engine.generation import Generation
    from hobbit.engine.quality import Quality
    from hobbit.engine.session import Session


@dataclass(frozen=True, slots=True)
class Replayed:
    """The run's routing under another preset."""

    policy: str
    measures: Measures


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run. `simulated`: speeds come from a virtual clock. Tokens and quality are always live.

    `lossy` is relative to the model at the high precision, `precisions[0]`. `memory` holds the rows of the
    budget: what, bytes, note.
    """

    version: str
    model: str
    device: str
    simulated: bool
    geometry: str
    policy: dict[str, str]
    precisions: tuple[str, ...]
    lossy: bool
    seed: int
    prompt: str
    text: str
    token_ids: tuple[int, ...]
    memory: tuple[tuple[str, int, str], ...]
    measures: Measures
    quality: Quality | None
    replayed: tuple[Replayed, ...]
    notes: tuple[str, ...]

    @staticmethod
    def of(
        config: HobbitConfig,
        session: Session,
        generation: Generation,
        measures: Measures,
        quality: Quality | None,
        replayed: Sequence[Replayed],
        prompt: str,
    ) -> RunReport:
        """Gather the report of a live run."""
        assembly = session.assembly
        return RunReport(
            version=__version__,
            model=config.model.label,
            device=config.setup().device.label or config.setup().device.name,
            simulated=measures.simulated,
            geometry=assembly.context.geometry.name,
            policy=_policy(config),
            precisions=assembly.precisions,
            lossy=is_lossy(config, assembly),
            seed=config.seed,
            prompt=prompt,
            text=generation.text,
            token_ids=tuple(generation.token_ids),
            memory=tuple(assembly.plan.describe()),
            measures=measures,
            quality=quality,
            replayed=tuple(replayed),
            notes=tuple(session.notes),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return asdict(self)


def is_lossy(config: HobbitConfig, assembly: Assembly) -> bool:
    """True if outputs may differ from the model at the high precision."""
    loses = assembly.runtime.loader.level_for(1.0) != HIGH
    return loses or config.router.effect.value == "quality"


def _policy(config: HobbitConfig) -> dict[str, str]:
    parts = (config.loader, config.prefetcher, config.cache, config.quantizer, config.router)
    return {part.kind: part.name for part in parts}
