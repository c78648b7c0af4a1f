"""Up to how many tokens the compiled expert is the faster one."""

from __future__ import annotations

from hobbit.api.quantizer import LOSSLESS12, NATIVE
from hobbit_devices.kernels.formats import ExpertFormat

FEW_TOKENS = {NATIVE: 8, LOSSLESS12: 64, "int8": 8, "int4": 64, "int2": 40}
"""By precision. The kernel's arithmetic grows with the tokens, while torch may have matrix units for it, but
has to decode lossless12, int4 and int2 first. `python -m benchmarks.host_kernels` measures both."""


def few_tokens(format: ExpertFormat) -> int:
    """The same by an expert's format."""
    return FEW_TOKENS[format.name if format.up.bits else NATIVE]
