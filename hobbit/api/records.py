"""What every cache policy may know of the past: sequence-level use records (HOBBIT, section 3.4)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hobbit.types import ExpertKey, RecordScope, RoutingShape, expert_key


class Records:
    """Counters of every expert, by flat id `layer * E + expert`; all arrays have shape [L * E].

    `token` is T, the tokens seen in this sequence. `last_token` (R), `uses` (F), `high_uses` (H) and
    `low_uses` count tokens of this sequence and reset with it (prefill uses count). `last_tick` is an
    ever-growing order of uses, so that recency has no ties; it never resets. At the scope of the model
    nothing does, and "sequence" reads "run" above. `recent` lists the experts used since the pass began, in
    order of use: a new list each pass, so that a policy can bring what it worked out up to date.
    """

    __slots__ = (
        "_counters", "high_uses", "last_tick", "last_token", "low_uses", "per_layer", "recent", "scope",
        "tick", "token", "uses",
    )  # fmt: skip

    def __init__(self, shape: RoutingShape, scope: RecordScope = RecordScope.sequence) -> None:
        self.scope = scope
        count = shape.layers * shape.experts
        self.per_layer = shape.experts
        self.token = 0
        self.tick = 0
        self.recent: list[int] = []
        self.last_tick: npt.NDArray[np.int64] = np.zeros(count, np.int64)
        self.last_token: npt.NDArray[np.float64] = np.zeros(count)
        self.uses: npt.NDArray[np.float64] = np.zeros(count)
        self.high_uses: npt.NDArray[np.float64] = np.zeros(count)
        self.low_uses: npt.NDArray[np.float64] = np.zeros(count)
        # The same memory: one item of a memoryview costs half of one of an array.
        arrays = (self.last_tick, self.last_token, self.uses, self.high_uses, self.low_uses)
        self._counters = tuple(array.data for array in arrays)

    def begin_sequence(self) -> None:
        """Forget the counts of the last sequence; what is resident stays resident."""
        self.recent = []
        if self.scope is RecordScope.model:
            return
        self.token = 0
        for array in (self.last_token, self.uses, self.high_uses, self.low_uses):
            array.fill(0)

    def begin_pass(self, tokens: int) -> None:
        """Count the T tokens of a forward pass before its first layer runs."""
        self.token += tokens
        self.recent = []

    def use(self, flat: int, tokens: int, level: int) -> None:
        """Expert `flat` served `tokens` tokens at `level` (0: high). A skipped demand is no use."""
        layer, expert = divmod(flat, self.per_layer)
        self.use_all({expert_key(layer, expert, level): tokens})

    def use_all(self, served: Mapping[ExpertKey, int]) -> None:
        """`use` of each copy that served so many tokens, in this order; none is no use."""
        last_tick, last_token, uses, high_uses, low_uses = self._counters
        tick, token, per_layer, recent = self.tick, self.token, self.per_layer, self.recent
        for (layer, expert, level), tokens in served.items():
            if tokens:
                tick += 1
                flat = layer * per_layer + expert
                last_tick[flat] = tick
                last_token[flat] = token
                uses[flat] += tokens
                level_uses = low_uses if level else high_uses
                level_uses[flat] += tokens
                recent.append(flat)
        self.tick = tick
