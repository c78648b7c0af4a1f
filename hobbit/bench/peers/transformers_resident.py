"""transformers itself, all weights on the device: what a user has who needs no offloading."""

from __future__ import annotations

from typing import Any

from hobbit.bench.peers.peer import PeerCase, decode_speed, prefill_speed
from hobbit.bench.row import PeerRow


def measure(case: PeerCase) -> PeerRow:
    """Its default experts and attention implementations. The row says that it ignores the budget."""
    model = case.model(case.backend.place)
    times = case.timed(model, case.plan.tokens, case.plan.repeats)
    config: Any = model.config
    return PeerRow(
        "transformers",
        decode_speed(times),
        prefill_speed(times, case.plan.prompt),
        "all weights on the device, whatever the budget; experts "
        f"{config._experts_implementation}, attention {config._attn_implementation}",
        case.backend.peak_bytes(),
    )
