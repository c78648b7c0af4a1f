"""What a component may learn from before it runs: the routing of past requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class PastRequest:
    """Routing of one past request of T tokens, of which the first `prompt` are the prompt's.

    `experts` int64 [T, L, K] and `weights` float32 [T, L, K] are what the routers gave; `predicted[t, l]` are
    the top-K that the gate input of layer l - 1 gave for layer l, in falling logit (-1 for layer 0), or None
    where nobody looked ahead. `domain` names what the request was about.
    """

    experts: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    predicted: npt.NDArray[np.int64] | None
    prompt: int
    domain: str = ""


Past = Callable[[], Sequence[PastRequest]]
"""Past requests, read or generated only when called."""


def no_past() -> Sequence[PastRequest]:
    """Nothing is known: components start from uniform and learn as they go."""
    return ()
