"""The quantizers that come with hobbit."""

from __future__ import annotations

from hobbit.api import QuantizerComponent, hookimpl
from hobbit_quantizers.none import NoQuantizer
from hobbit_quantizers.quanto import QuantoQuantizer


@hookimpl
def hobbit_quantizers() -> list[type[QuantizerComponent]]:
    """One component a file."""
    return [NoQuantizer, QuantoQuantizer]
