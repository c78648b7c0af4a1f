"""The part of an expert's worth that its use records give: all of it but the distance of its layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hobbit.api import Records


class UseWorth:
    """`(w_lru * R + w_lfu * F + w_lhu * H) / T` of every expert, kept up to date.

    T grows once a pass, and a layer changes R, F and H of a few experts: so all are worked out once a pass,
    and after that only those used since. `precise_uses` [L * E] is what counts as H.
    """

    __slots__ = ("_counted", "_counters", "_items", "_pass", "_records", "_weights", "_worth", "_worth_items")

    def __init__(
        self, records: Records, precise_uses: npt.NDArray[np.float64], lru: float, lfu: float, lhu: float
    ) -> None:
        self._records = records
        self._counters = (records.last_token, records.uses, precise_uses)
        self._weights = (lru, lfu, lhu)
        self._pass: list[int] | None = None  # the pass's `records.recent`, of which `_counted` are in the sum
        self._counted = 0
        self._worth = np.zeros(len(precise_uses))
        # The same memory: one item of a memoryview costs half of one of an array.
        self._items = tuple(array.data for array in self._counters)
        self._worth_items: memoryview[float] = self._worth.data  # type: ignore[assignment]

    def of_all(self) -> npt.NDArray[np.float64]:
        """The worth of all experts, [L * E]; it changes with the next call."""
        recent, counted = self._records.recent, self._counted
        self._counted = len(recent)
        if recent is self._pass:
            self._update(recent[counted:])
        else:
            self._pass = recent
            self._work_out()
        return self._worth

    def _work_out(self) -> None:
        (lru, lfu, lhu), (last_token, uses, precise_uses) = self._weights, self._counters
        np.multiply(last_token, lru, out=self._worth)
        self._worth += lfu * uses
        self._worth += lhu * precise_uses
        self._worth /= max(self._records.token, 1)

    def _update(self, experts: list[int]) -> None:
        """The same sum in the same order, so that it is the same to the last bit."""
        (lru, lfu, lhu), (last_token, uses, precise_uses) = self._weights, self._items
        worth = self._worth_items
        token = max(self._records.token, 1)
        for flat in experts:
            worth[flat] = (lru * last_token[flat] + lfu * uses[flat] + lhu * precise_uses[flat]) / token
