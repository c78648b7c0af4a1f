"""hobbit within two budgets: python -m benchmarks.offload.ours BUNDLE POLICY DEVICE HOST TOKENS."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.offload.decode import PROMPT, Decoded, decode
from hobbit.config.compose import compose
from hobbit.engine.opening import open_model
from hobbit.engine.session import Session, open_session
from hobbit.sizes import format_size

WARM_UP = 4
"""Tokens after which both caches are in use and counting starts."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the session has counted in decode so far, in bytes but for `busy_ns`."""

    missed: int
    copied: int
    disk: int
    busy_ns: int

    @staticmethod
    def of(session: Session) -> Counts:
        """Missed: experts that were not there when a layer wanted them, or only because of a prefetch."""
        decode, report = session.assembly.metrics.decode, session.assembly.report()
        blob = session.assembly.context.blob_bytes[0]
        missed = decode.demand_bytes + decode.prefetches_used * blob
        return Counts(missed, decode.bytes, report.moved_bytes["disk"], report.busy_ns["disk"])


def run(bundle: str, policy: str, device: str, host: str, tokens: int) -> None:
    """Decode, and print what was measured, as reported and as the kernel counts it."""
    torch.set_num_threads(2)
    model, tokenizer = open_model(bundle)
    words = [f"policy={policy}", "device=cpu", "precision=native"]
    setup = compose([*words, f"memory.device={device}", f"memory.host={host}"]).setup()
    with open_session(model, tokenizer, setup, name="olmoe", tokens=PROMPT + tokens, record=True) as session:
        _tell(session)
        decode(session.model, WARM_UP)
        starts: list[Counts] = []
        decoded = decode(session.model, tokens, lambda: starts.append(Counts.of(session)))
        _print(session, decoded, starts[0], Counts.of(session))


def _tell(session: Session) -> None:
    """The two budgets, and what the user should know."""
    host = session.assembly.host
    for what, nbytes, note in session.assembly.plan.describe() + (host.describe() if host else []):
        print(f"  {what:<20} {format_size(nbytes):>8}  {note}")
    for note in session.notes:
        print("  note:", note)


def _print(session: Session, decoded: Decoded, start: Counts, end: Counts) -> None:
    assert session.recorder is not None
    experts = session.recorder.trace().experts[-len(decoded.ids) :]
    decoded.print(
        routed=experts.size * session.assembly.context.blob_bytes[0],
        missed=end.missed - start.missed,
        copied=end.copied - start.copied,
        disk=end.disk - start.disk,
        disk_busy_s=(end.busy_ns - start.busy_ns) / 1e9,
        hit_ratio=session.assembly.metrics.decode.hit_ratio,
        routing=_routing(experts, session.assembly.context.shape.experts),
    )


def _routing(experts: np.ndarray, count: int) -> dict[str, float]:
    """Of `experts` [T, L, K]: the share that the token before chose too, and the mean entropy of a layer's
    uses over that of even ones."""
    again = (experts[1:, :, :, None] == experts[:-1, :, None, :]).any(axis=-1).mean()
    uses = np.stack([np.bincount(layer.ravel(), minlength=count) for layer in experts.swapaxes(0, 1)])
    share = uses / uses.sum(axis=1, keepdims=True)
    entropy = -(share * np.log(np.where(share > 0, share, 1))).sum(axis=1).mean()
    return {"chosen_before": float(again), "entropy": float(entropy / np.log(count))}


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
