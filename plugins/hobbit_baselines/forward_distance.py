"""How many layers run until another layer runs again, in the cycle of a decode loop."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def forward_distances(layers: int) -> npt.NDArray[np.int64]:
    """``[i, t] -> ((t - i - 1) mod L) + 1``, shape [L, L]: steps from layer i to the next run of layer t.

    It is 1 for the layer after i, and L for i itself, which has just had its turn.
    """
    index = np.arange(layers, dtype=np.int64)
    return (index[None, :] - index[:, None] - 1) % layers + 1
