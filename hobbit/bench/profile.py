"""A device profile made of measurements: what task=simulate needs to know of this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from hobbit.bench.machine import Rates
from hobbit.geometry import Geometry

Value = float | str | bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One option of a simulated device, and where its value comes from."""

    value: Value
    source: str


def profile_of(
    rates: Rates,
    machine: str,
    memory: int,
    precisions: tuple[str, str],
    disk_gb_s: float | None,
    layer_us: float,
) -> dict[str, Entry]:
    """The options of a simulated device that stands for this machine; `memory` is the device's, in bytes."""
    entries = {
        "label": Entry(f"{machine} (simulated)", ""),
        "memory": Entry(f"{memory}B", "what the device has"),
        "high": Entry(precisions[0], "as configured"),
        "low": Entry(precisions[1], "as configured"),
        "tflops": Entry(rates.tflops, "measured: a square product in the geometry's dtype"),
        "memory_gb_s": Entry(rates.memory_gb_s, "measured: cold experts at batch 1"),
        "link_gb_s": Entry(rates.link_gb_s, "measured: copies through the engine"),
        "link_latency_us": Entry(rates.link_latency_us, "measured: what such a copy takes beside its bytes"),
        "host_memory": Entry(f"{_host_memory()}B", "what the host has"),
        "host_gb_s": Entry(rates.host_gb_s, "measured: cold experts at batch 1 on the host"),
        "host_tflops": Entry(rates.host_tflops, "measured: a square product on the host"),
        "host_latency_us": Entry(2 * rates.link_latency_us + 10.0, "two small copies, and 10 us assumed"),
        "experts_home": Entry("host", "as configured"),
        "layer_overhead_us": Entry(layer_us, "measured: what the rates leave of an all-resident token"),
    }
    if disk_gb_s is not None:
        entries["disk_gb_s"] = Entry(disk_gb_s, "measured: a file that was not in the page cache")
    return entries


def yaml_of(entries: Mapping[str, Entry], heading: str) -> str:
    """The file: an option a line, with its source; it begins as those in conf/device do."""
    lines = [f"# {heading}", "defaults: [sim, _self_]"]
    for name, entry in entries.items():
        shown = f"{entry.value:.5g}" if isinstance(entry.value, float) else _quoted(entry.value)
        lines.append(f"{name}: {shown}{f'  # {entry.source}' if entry.source else ''}")
    return "\n".join(lines) + "\n"


def overhead_us(token_ns: float, geometry: Geometry, rates: Rates) -> float:
    """Microseconds a layer of an all-resident token beyond reading its weights at the measured bandwidth."""
    blob = geometry.expert_values * geometry.item_bytes
    layer = geometry.layer_values * geometry.item_bytes + geometry.top_k * blob
    head = geometry.embedding_values * geometry.item_bytes
    read_ns = (geometry.layers * layer + head) / rates.memory_gb_s
    return max(0.0, (token_ns - read_ns) / geometry.layers / 1e3)


def _host_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _quoted(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
