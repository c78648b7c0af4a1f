"""A hint: the same memory would hold more experts, and nothing be lost."""

from __future__ import annotations

from pathlib import Path

from hobbit.api import HIGH
from hobbit.api.quantizer import LOSSLESS12, NATIVE
from hobbit.assembly import Assembly
from hobbit.config.schema import HobbitConfig
from hobbit.errors import ConfigError
from hobbit.store.bundle import BundleIndex


def roomier(config: HobbitConfig, assembly: Assembly) -> str | None:
    """What `precision=lossless12` would do for this run; None where it would not be faster for it.

    It would where experts that do not fit come over a link in the checkpoint's own bfloat16. A bundle's
    precisions have been chosen.
    """
    geometry, high, device = assembly.context.geometry, assembly.precisions[HIGH], config.device
    slots, experts = assembly.plan.slots[HIGH], geometry.layers * geometry.experts
    linked = device.simulated or device.pinned  # a CPU takes as long to unpack as to read native weights
    if not linked or high not in (NATIVE, geometry.dtype) or slots >= experts:
        return None
    if BundleIndex.is_bundle(Path(config.model.location)):
        return None
    try:
        nbytes = assembly.quantizer.layout(geometry.expert_tensors(), LOSSLESS12).nbytes
    except ConfigError:  # another dtype, or a quantizer that does not know it
        return None
    more = min(experts, slots * assembly.plan.blob_bytes[HIGH] // nbytes)
    return f"precision={LOSSLESS12} would keep {more} experts in the memory of {slots}, bit for bit the same"
