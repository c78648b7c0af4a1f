"""The expert FFN on the host, from blobs in memory, by a C file that is compiled where it runs.

    kernels, reason = load()                    # None and why, where there is no compiler
    ffn = CompiledFfn(kernels, format)
    ffn(x, blob, out)                           # out float32 [t, d]

`load` compiles once a machine and user, then finds the library in the user's cache. Importing this package
needs no torch.
"""

from __future__ import annotations

from hobbit_devices.host_kernels.choice import HostMaths, choose_kernels
from hobbit_devices.host_kernels.few_tokens import FEW_TOKENS, few_tokens

__all__ = ["FEW_TOKENS", "HostMaths", "choose_kernels", "few_tokens"]
