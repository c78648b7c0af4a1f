"""No quantization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import Context, Effect, Quantizer, QuantizerComponent
from hobbit_quantizers.blob_quantizer import BlobQuantizer


@dataclass
class NoQuantizer(QuantizerComponent):
    """Experts stay as the checkpoint has them, bit for bit: "native", or bfloat16 packed as "lossless12"."""

    name: ClassVar[str] = "none"
    effect: ClassVar[Effect] = Effect.HINT

    def build(self, context: Context) -> Quantizer:
        """The quantizer; it refuses every precision that loses anything."""
        return BlobQuantizer(self.name, {})
