"""SettledLayers: layers whose experts are all in slots for good, run without a word from the host."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from hobbit_devices.kernels import Kernels


class SettledLayers:
    """Meets `SettledExperts` for one token: pairs find their slots in a table on the device, `slots` [L, E].

    Kernels and order of addition are those of `FusedLayers`, hence the same bits.
    """

    def __init__(self, kernels: Kernels, slots: npt.NDArray[np.int32], place: torch.device) -> None:
        self._kernels = kernels
        self._slots = list(torch.from_numpy(slots).to(place).unbind())
        most = slots.shape[1]
        self._rows = torch.arange(most, dtype=torch.int32, device=place)
        self._tokens = torch.zeros_like(self._rows)

    def __call__(
        self, layer: int, hidden: torch.Tensor, index: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        """See `SettledExperts`."""
        pairs = index.numel()
        rows, tokens = self._rows[None, :pairs], self._tokens[:pairs]
        outputs = torch.empty((pairs, hidden.shape[1]), dtype=torch.float32, device=hidden.device)
        slots = self._slots[layer].index_select(0, index.reshape(-1))
        self._kernels.run(hidden.contiguous(), slots, tokens, outputs)
        final = torch.empty_like(hidden)
        self._kernels.combine(outputs, weights.contiguous(), index.contiguous(), rows, final)
        return final
