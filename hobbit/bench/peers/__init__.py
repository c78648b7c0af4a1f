"""Peers: other engines on the same geometry, in the same call, at the same device memory."""

from __future__ import annotations

from collections.abc import Callable

from hobbit.bench.peers import accelerate_offload, llama_bench, policylang, transformers_resident
from hobbit.bench.peers.peer import PeerCase
from hobbit.bench.row import PeerRow

PEERS: dict[str, Callable[[PeerCase], PeerRow]] = {
    "transformers": transformers_resident.measure,
    "accelerate": accelerate_offload.measure,
    "policylang": policylang.measure,
    "llama_bench": llama_bench.measure,
}
"""Every peer by the name that `bench.peers` calls it."""


def run_peer(name: str, case: PeerCase) -> PeerRow:
    """Measure one; where it is not installed, the row says so. What it raises is the caller's to catch."""
    case.backend.forget_peak()
    return PEERS[name](case)
