"""The host as the engine uses it: what its device measured at start, if that is more than torch gives."""

from __future__ import annotations

from dataclasses import replace

from hobbit.api import HIGH
from hobbit.assembly import Assembly
from hobbit.bench.machine import Rates


def with_host_of(assembly: Assembly, rates: Rates) -> Rates:
    """The rates with the bandwidth at which this run's device runs high experts on the host, for one token.

    Only a device that measures itself (deterministic=false) knows; constants say nothing of this machine.
    """
    costs = assembly.runtime.device.costs
    if assembly.context.deterministic or costs.host_ns(HIGH, 1) <= 0:
        return rates
    measured = assembly.context.blob_bytes[HIGH] / costs.host_ns(HIGH, 1)
    return replace(rates, host_gb_s=max(rates.host_gb_s, measured))
