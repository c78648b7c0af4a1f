"""BundleOrigin: the experts are a bundle's blobs, served from the disk where memory does not hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from hobbit.api import BlobLayout, Context, ExpertKey, Geometry, Quantizer, Records, TensorSpec
from hobbit.api.quantizer import LOSSLESS
from hobbit.engine.origin.origin import Opened, ReadExpert
from hobbit.errors import ConfigError
from hobbit.host_plan import HostPlan, HostRequest, plan_host
from hobbit.plugins import discover
from hobbit.store import BlobDisk, open_store
from hobbit.store.bundle import BundleIndex, BundleLevel


class BundleOrigin:
    """An `Origin` for the bundle in `folder`, whose index was read and checked."""

    def __init__(self, folder: Path, index: BundleIndex) -> None:
        self.folder = folder
        self.index = index

    def specs(self) -> dict[str, TensorSpec]:
        """See `Origin`."""
        return dict(self.index.tensors)

    @contextmanager
    def reading(self) -> Iterator[ReadExpert]:
        """See `Origin`: lossless, else at the bundle's first precision."""
        level = self._lossless() or self.index.levels[0]
        quantizer = self._quantizer(level)
        disk = BlobDisk(self.folder, self.index, [level])

        def read(layer: int, expert: int) -> Mapping[str, torch.Tensor]:
            blob = torch.empty(level.nbytes, dtype=torch.uint8)
            disk.read(ExpertKey(layer, expert, 0), blob)
            return quantizer.decode(blob, level.layout)

        try:
            yield read
        finally:
            disk.close()

    def open(
        self, quantizer: Quantizer, layouts: Sequence[BlobLayout], request: HostRequest, pin: bool
    ) -> Opened:
        """See `Origin`. Raises ConfigError for a precision that the bundle lacks or has in another form."""
        levels = [self._level(layout) for layout in layouts]
        plan = plan_host(request, layouts, self.index.shape)
        disk = BlobDisk(self.folder, self.index, levels)
        notes = () if plan.whole else (_note(disk, plan),)
        return Opened(open_store(disk, plan, pin, ahead=not request.direct), plan, notes)

    def _level(self, layout: BlobLayout) -> BundleLevel:
        level = self.index.level(layout.precision)
        if level is None:
            same = self._lossless() if layout.precision in LOSSLESS else None
            raise ConfigError(
                f"the bundle {self.folder} has no experts at precision {layout.precision!r}, only at "
                f"{', '.join(self.index.precisions)}; "
                + (
                    f"{same.precision} holds the same weights: set precision.high={same.precision}"
                    if same
                    else "set precision.high and precision.low to one of these, or convert again"
                )
            )
        if (level.layout.fields, level.nbytes) != (layout.fields, layout.nbytes):
            options = "".join(f" quantizer.{name}={value}" for name, value in level.options.items())
            raise ConfigError(
                f"the {layout.precision} experts of the bundle {self.folder} have another form than this "
                f"run's; they were made with quantizer={level.quantizer}{options}"
            )
        return level

    def _lossless(self) -> BundleLevel | None:
        """A level that has the checkpoint's own weights, the one that is read fastest first."""
        return next(filter(None, map(self.index.level, LOSSLESS)), None)

    def _quantizer(self, level: BundleLevel) -> Quantizer:
        """The quantizer that made a level, to decode it."""
        component = discover().registry.get("quantizer", level.quantizer)
        shape = self.index.shape
        geometry = Geometry(layers=shape.layers, experts=shape.experts, top_k=shape.top_k)
        context = Context(geometry, (level.precision,), (), Records(shape))
        quantizer: Quantizer = component(**level.options).build(context)
        return quantizer


def _note(disk: BlobDisk, plan: HostPlan) -> str:
    way = "past the page cache" if disk.direct else "through the page cache (no direct reads there)"
    return (
        f"experts are served from {disk.folder}, read {way}; the host keeps {plan.places} of {plan.rows} "
        "of each precision"
    )
