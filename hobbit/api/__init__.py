"""The public face for plugins: the Protocols of the seams and the types they speak.

    from hobbit.api import CacheComponent, Context, ScoredCache, hookimpl

A plugin imports this package, `hobbit.types` and `hobbit.errors`, and nothing else of hobbit.
"""

from __future__ import annotations

from hobbit.api.batcher import Batch, Batcher
from hobbit.api.cache import Allocation, CachePolicy, PoolView, ScoredCache, allocate_evenly
from hobbit.api.component import (
    BatcherComponent,
    CacheComponent,
    Component,
    Context,
    DeviceComponent,
    LoaderComponent,
    PrefetcherComponent,
    QuantizerComponent,
    RouterComponent,
)
from hobbit.api.costs import (
    CostModel,
    LayerShares,
    host_is_faster,
    host_share,
    layer_share,
    least_maximum,
)
from hobbit.api.device import (
    Copy,
    Device,
    DeviceReport,
    ExpertPayload,
    Job,
    RecordedExperts,
    RecordingDevice,
    SettledExperts,
    SettlingDevice,
    SlotLayout,
)
from hobbit.api.host_memory import free_host_bytes
from hobbit.api.loader import Loader, serving_level
from hobbit.api.markers import hookimpl, hookspec
from hobbit.api.past import Past, PastRequest, no_past
from hobbit.api.prefetcher import Lookahead, Prefetcher, PrefetchPlan, ResidencyView, predicted_copies
from hobbit.api.quantizer import Quantizer
from hobbit.api.records import Records
from hobbit.api.router import Router, Routing
from hobbit.api.source import ExpertSource
from hobbit.blob import BlobField, BlobLayout, TensorSpec
from hobbit.geometry import Geometry
from hobbit.types import (
    HIGH,
    LOW,
    RESIDENT,
    SKIPPED,
    Action,
    Decision,
    Demand,
    Effect,
    ExpertKey,
    RecordScope,
    RoutingShape,
)

__all__ = [
    "HIGH",
    "LOW",
    "RESIDENT",
    "SKIPPED",
    "Action",
    "Allocation",
    "Batch",
    "Batcher",
    "BatcherComponent",
    "BlobField",
    "BlobLayout",
    "CacheComponent",
    "CachePolicy",
    "Component",
    "Context",
    "Copy",
    "CostModel",
    "Decision",
    "Demand",
    "Device",
    "DeviceComponent",
    "DeviceReport",
    "Effect",
    "ExpertKey",
    "ExpertPayload",
    "ExpertSource",
    "Geometry",
    "Job",
    "LayerShares",
    "Loader",
    "LoaderComponent",
    "Lookahead",
    "Past",
    "PastRequest",
    "PoolView",
    "PrefetchPlan",
    "Prefetcher",
    "PrefetcherComponent",
    "Quantizer",
    "QuantizerComponent",
    "RecordScope",
    "RecordedExperts",
    "RecordingDevice",
    "Records",
    "ResidencyView",
    "Router",
    "RouterComponent",
    "Routing",
    "RoutingShape",
    "ScoredCache",
    "SettledExperts",
    "SettlingDevice",
    "SlotLayout",
    "TensorSpec",
    "allocate_evenly",
    "free_host_bytes",
    "hookimpl",
    "hookspec",
    "host_is_faster",
    "host_share",
    "layer_share",
    "least_maximum",
    "no_past",
    "predicted_copies",
    "serving_level",
]
