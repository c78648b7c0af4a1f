"""A device and a model of round numbers, so that what they cost can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

from hobbit_devices.sim import Home, SimDevice
from hobbit_devices.simulator import Simulator
from hobbit_quantizers.none import NoQuantizer

from hobbit.api import Context, Copy, ExpertKey, Geometry, Job, Records, SlotLayout

MODEL = Geometry(
    name="toy",
    layers=4,
    experts=8,
    top_k=2,
    hidden=100,
    ffn=1000,
    vocab=500,
    heads=2,
    kv_heads=1,
    head_dim=50,
)
HIGH_BYTES, LOW_BYTES = 600_000, 150_000

CARD = SimDevice(
    memory="10MB",
    tflops=0.002,  # 2 operations a nanosecond
    memory_gb_s=1,  # 1 byte a nanosecond
    link_gb_s=0.5,
    link_latency_us=5,
    disk_gb_s=0.25,
    disk_latency_us=7,
    host_tflops=0.001,
    host_gb_s=0.5,
    host_latency_us=3,
    host_memory="24MB",  # every expert, at both precisions
    layer_overhead_us=1,
)
BOARD = replace(CARD, unified=True, experts_home=Home.disk, host_memory="0")

LAYER_NS = 65_000  # 31,000 weights of 2 bytes and 10 tokens of 200 bytes of KV, and the overhead
RUN_NS = 600_000
LINK_NS = 1_205_000
DISK_NS = 2_407_000


def context() -> Context:
    return Context(MODEL, ("native", "int4"), (HIGH_BYTES, LOW_BYTES), Records(MODEL.shape))


def simulator(device: SimDevice, block_bytes: int = 0) -> Simulator:
    """A device in the first layer of a decode step, nine tokens being cached already."""
    built = device.build(context())
    built.prepare(SlotLayout((8, 8), ()), NoQuantizer().build(context()), None, block_bytes)
    built.begin_pass(1, 9)
    built.begin_layer(0, 1, 9)
    return built


def copy(expert: int, urgent: bool = True, level: int = 0) -> Copy:
    return Copy(ExpertKey(0, expert, level), expert, urgent, (HIGH_BYTES, LOW_BYTES)[level])


def job(expert: int, tokens: int = 1, slot: int = 0, level: int = 0) -> Job:
    return Job(ExpertKey(0, expert, level), slot, tokens)
