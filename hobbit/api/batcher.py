"""Seam: which of the waiting tokens run together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Batch = list[int]
"""Places of tokens in the waiting line."""


class Batcher(Protocol):
    """Shares the tokens that wait in a queue of requests out to passes. A token waits for one pass."""

    def arrange(self, routes: npt.NDArray[np.int64], budget: int) -> Sequence[Batch]:
        """Batches of at most `budget` tokens, in the order in which they run; each token is in just one.

        `routes` [W, L, K] are the experts of the W waiting tokens, the one who came first in front. Whoever
        reads them has to know them before the tokens run: say so in `effect`.
        """
        ...
