"""Fit a profile's per-layer overhead to a published loading share.

    python -m benchmarks.calibration.layer_overhead

The share is that of on_demand with no cache, decoding Mixtral-8x7B (HOBBIT, arXiv 2411.01433): a layer loads
its K experts, then computes. All but the overhead follows from the profile, so the fit is one equation.
"""

from __future__ import annotations

from dataclasses import replace

from hobbit_devices.sim import SimDevice

from hobbit.api import Context, Copy, ExpertKey, Geometry, Job, Records
from hobbit.config.compose import compose

PUBLISHED_SHARES = {"rtx4090": 0.855, "orin": 0.945}
"""Loading time over layer time (HOBBIT, arXiv 2411.01433)."""

CONTEXT_TOKENS = 128
"""Tokens in the KV cache; the share barely depends on it."""


def profile(device: str) -> tuple[SimDevice, Context]:
    """A profile and what it is built with: Mixtral-8x7B at the profile's own precisions."""
    config = compose([f"device={device}", "geometry=mixtral_8x7b", "quantizer=quanto"])
    assert isinstance(config.device, SimDevice)
    geometry: Geometry = config.geometry
    precisions = (config.device.high, config.device.low)
    context = Context(geometry, precisions, (), Records(geometry.shape))
    quantizer = config.quantizer.build(context)
    tensors = geometry.expert_tensors()
    context.blob_bytes = tuple(quantizer.layout(tensors, precision).nbytes for precision in precisions)
    return config.device, context


def on_demand_layer(device: SimDevice, context: Context) -> tuple[int, int]:
    """Nanoseconds that one decoded token spends loading, and computing, in one layer that holds nothing."""
    simulator = device.build(context)
    keys = [ExpertKey(0, expert, 0) for expert in range(context.shape.top_k)]
    copies = [Copy(key, slot, True, context.blob_bytes[0]) for slot, key in enumerate(keys)]
    simulator.begin_layer(0, 1, CONTEXT_TOKENS)
    for copy in copies:
        simulator.load(copy)
    loading = simulator.wait(copies)
    simulator.run(0, [Job(key, slot, 1) for slot, key in enumerate(keys)], None)
    simulator.end_layer(0)
    return loading, simulator.now_ns() - loading


def fitted_overhead_us(share: float, device: SimDevice, context: Context) -> float:
    """The overhead x that solves `share = loading / (loading + computing + x)`, in microseconds."""
    loading, computing = on_demand_layer(replace(device, layer_overhead_us=0.0), context)
    return (loading * (1 - share) / share - computing) / 1e3


if __name__ == "__main__":
    for name, share in PUBLISHED_SHARES.items():
        print(f"{name}: layer_overhead_us: {fitted_overhead_us(share, *profile(name)):.0f}")
