"""What each step costs on a device that is only described by its numbers."""

from __future__ import annotations

from dataclasses import dataclass

from hobbit.api import Geometry
from hobbit_devices.streams import SECOND, ceil_div


@dataclass(frozen=True, slots=True)
class Roofline:
    """A processor beside its memory: `flops` a second of 16-bit maths, `bandwidth` in bytes/s."""

    flops: int
    bandwidth: int

    def step_ns(self, flops: int, nbytes: int) -> int:
        """max(flops / peak, bytes / memory bandwidth), in nanoseconds, rounded up."""
        return max(ceil_div(flops * SECOND, self.flops), ceil_div(nbytes * SECOND, self.bandwidth))


class SimCosts:
    """Nanoseconds of every step of one model on one device; also the `CostModel` that policies see.

    Weights are read once a step at the bytes of their stored precision (quantised experts are decoded on
    the fly and computed in 16 bits), KV entries once; activations are free but for the way to the host.
    `fetch_ns[p]` is what one blob of level p takes on its way to the device, `read_ns[p]` to the host's
    memory, both on idle streams.
    """

    def __init__(
        self,
        geometry: Geometry,
        blob_bytes: tuple[int, ...],
        device: Roofline,
        host: Roofline,
        host_latency_ns: int,
        activation_bandwidth: int,
        fetch_ns: tuple[int, ...],
        read_ns: tuple[int, ...],
        layer_overhead_ns: int,
        unified: bool,
    ) -> None:
        self._geometry = geometry
        self._blob_bytes = blob_bytes
        self._device = device
        self._host = host
        self._host_latency_ns = host_latency_ns
        self._activation_bandwidth = activation_bandwidth
        self._fetch_ns = fetch_ns
        self._read_ns = read_ns
        self._layer_overhead_ns = layer_overhead_ns
        self._unified = unified
        self._kv_layer_bytes = geometry.kv_bytes_per_token // (geometry.layers + geometry.dense_layers)
        self._expert_flops = 2 * geometry.expert_values

    def copy_ns(self, level: int) -> int:
        """One blob to the device, on idle streams (the mean, where a part of the experts lies on disk)."""
        return self._fetch_ns[level]

    def device_ns(self, level: int, tokens: int) -> int:
        """One resident expert on `tokens` tokens."""
        return self._device.step_ns(tokens * self._expert_flops, self._blob_bytes[level])

    def host_ns(self, level: int, tokens: int) -> int:
        """One expert on the host, its blob from the disk first if it lies there."""
        return self._read_ns[level] + self.host_work_ns(level, tokens)

    def host_work_ns(self, level: int, tokens: int) -> int:
        """One expert on the host, its blob being in memory: activations there and back, and maths."""
        values = 2 * tokens * self._geometry.hidden
        way = ceil_div(values * self._geometry.item_bytes * SECOND, self._activation_bandwidth)
        work = self._host.step_ns(tokens * self._expert_flops, self._blob_bytes[level])
        return self._host_latency_ns + way + work

    def in_place_ns(self, level: int, tokens: int) -> int | None:
        """One expert on the device where it lies in the host's memory: as the kernels of cuda, for one token.

        Nothing where memory is unified, for the link is the disk then.
        """
        return self._fetch_ns[level] if tokens == 1 and not self._unified else None

    def bus_ns(self, level: int) -> int:
        """Time that reading one blob takes from the device's own memory bandwidth."""
        return ceil_div(self._blob_bytes[level] * SECOND, self._device.bandwidth)

    def layer_ns(self, tokens: int, context: int) -> int:
        """The non-expert part of one MoE layer, the per-layer overhead included."""
        return self._layer_overhead_ns + self._attention_ns(self._geometry.layer_values, tokens, context)

    def dense_layers_ns(self, tokens: int, context: int) -> int:
        """All layers without experts."""
        geometry = self._geometry
        if not geometry.dense_layers:
            return 0
        return geometry.dense_layers * self._attention_ns(geometry.dense_layer_values, tokens, context)

    def head_ns(self) -> int:
        """The vocabulary product of the one position whose logits generation keeps."""
        values = self._geometry.embedding_values
        return self._device.step_ns(2 * values, values * self._geometry.item_bytes)

    def _attention_ns(self, values: int, tokens: int, context: int) -> int:
        """A layer of `values` weights; causal attention of T new tokens after `context` cached ones."""
        geometry = self._geometry
        pairs = tokens * context + tokens * (tokens + 1) // 2
        flops = 2 * tokens * values + 4 * pairs * geometry.heads * geometry.head_dim
        nbytes = values * geometry.item_bytes + (context + tokens) * self._kv_layer_bytes
        return self._device.step_ns(flops, nbytes)
