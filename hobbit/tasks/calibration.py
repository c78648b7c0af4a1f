"""Calibration: loaders whose thresholds are another model's are fitted to the routing at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import numpy.typing as npt

from hobbit.api import LoaderComponent
from hobbit.config.schema import HobbitConfig


@dataclass
class Calibration:
    """`bundled`: the routing is the bundled model's. `scores` gives its unimportances [n], asked for once.

    `source` says whose routing that is. `notes` collects, for the user, what was fitted to what.
    """

    bundled: bool
    scores: Callable[[], npt.NDArray[np.float64]]
    source: str
    notes: list[str] = field(default_factory=list)
    _known: npt.NDArray[np.float64] | None = None

    def fit(self, config: HobbitConfig, overrides: Sequence[str]) -> HobbitConfig:
        """`config` with a fitted loader, if the loader wants it; what `overrides` set stays as it is."""
        loader, chosen = config.loader, _chosen(overrides)
        if not loader.calibrates(self.bundled, chosen):
            if loader.calibrates(False, chosen):
                self._note(f"loader {loader.name} calibrated on the bundled model's training traces")
            return config
        if self._known is None:
            self._known = self.scores()
        fitted = loader.calibrated(self._known)
        self._note(f"loader {loader.name} calibrated on {self.source}: {_difference(loader, fitted)}")
        return replace(config, loader=fitted)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _chosen(overrides: Sequence[str]) -> set[str]:
    """The loader's options that the user set."""
    keys = (word.lstrip("+").partition("=")[0] for word in overrides)
    return {key.removeprefix("loader.") for key in keys if key.startswith("loader.")}


def _difference(before: LoaderComponent, after: LoaderComponent) -> str:
    """The numbers that were found."""
    values = (
        (option.name, getattr(before, option.name), getattr(after, option.name)) for option in fields(after)
    )
    return ", ".join(
        f"{name} {new:.4g}" for name, old, new in values if isinstance(new, float) and new != old
    )
