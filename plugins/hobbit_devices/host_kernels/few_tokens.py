"""Up to how many tokens the compiled expert is the faster one."""

from __future__ import annotations

from hobbit.api.quantizer import NATIVE

FEW_TOKENS = {NATIVE: 8, "int8": 8, "int4": 40, "int2": 40}
"""By precision. The compiled expert does its arithmetic token by token, torch's products for all of them at
once. But int4 and int2 have to be decoded first: 65 ms for an expert of Mixtral on 14 cores, where the
compiled one takes 1.4 ms a token."""


def few_tokens(bits: int) -> int:
    """The same by the bits of a weight, 0 for native ones."""
    return FEW_TOKENS[f"int{bits}" if bits else NATIVE]
