"""How far ahead of the running layer another layer lies, in the cycle of a decode loop."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def layer_distances(layers: int) -> npt.NDArray[np.int64]:
    """``[i, t] -> (t - i + L) mod L``, shape [L, L]: layers to run before layer t, once layer i runs.

    It is 0 for the running layer itself and L - 1 for the one that has just run (HOBBIT, section 3.4).
    """
    index = np.arange(layers, dtype=np.int64)
    return (index[None, :] - index[:, None]) % layers
