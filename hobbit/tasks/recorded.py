"""What replaying tasks start from: the trace that fits, a simulated device, loaders calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hobbit.assembly import Assembly
from hobbit.config.model import ModelOptions
from hobbit.config.schema import HobbitConfig
from hobbit.errors import ConfigError
from hobbit.report.scene import Scene
from hobbit.tasks.calibration import Calibration
from hobbit.tasks.checks import check_options
from hobbit.tasks.routing import fitting_trace, is_bundled
from hobbit.trace import Trace, selection_scores


def check_replay(config: HobbitConfig) -> None:
    """Raise ConfigError for options that make no sense, or a device without a virtual clock."""
    check_options(config)
    device = config.setup().device
    if not device.simulated:
        raise ConfigError(
            f"task={config.task.name} needs a virtual clock; device={device.name} has none: try device=orin"
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """A trace, and how loaders are fitted to it."""

    trace: Trace
    bundled: bool
    calibration: Calibration

    @staticmethod
    def of(config: HobbitConfig, overrides: Sequence[str]) -> Recorded:
        """The routing that `config` names, or generates. Raises TraceError or ConfigError."""
        trace = fitting_trace(config, overrides)
        bundled = is_bundled(trace)
        calibration = Calibration(bundled, lambda: selection_scores(trace), "this routing")
        return Recorded(trace, bundled, calibration)

    @property
    def context(self) -> int:
        """Tokens of the longest sequence: what the KV cache has to hold."""
        return int(self.trace.lengths.max())

    def scene(self, config: HobbitConfig, assembly: Assembly, notes: Sequence[str] = ()) -> Scene:
        """The scene of a replay, with all that is to be noted."""
        header = self.trace.header
        return Scene.of(
            config,
            assembly,
            [*self.calibration.notes, *assembly.notes, *notes],
            model=ModelOptions().label if self.bundled else header.model,
            synthetic=header.synthetic,
        )
