"""Up to how many tokens the compiled expert is the faster one."""

from __future__ import annotations

from hobbit.api.quantizer import NATIVE

FEW_TOKENS = {NATIVE: 8, "lossless12": 64, "int8": 8, "int4": 64, "int2": 40}
"""By precision. The kernel's arithmetic grows with the tokens, while torch may have matrix units for it, but
has to decode lossless12, int4 and int2 first. `python -m benchmarks.host_kernels` measures both."""

_OF_BITS = {0: NATIVE, 12: "lossless12", 8: "int8", 4: "int4", 2: "int2"}


def few_tokens(bits: int) -> int:
    """The same by the bits of a weight, 0 for native ones."""
    return FEW_TOKENS[_OF_BITS[bits]]
