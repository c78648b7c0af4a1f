"""No quantization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import Context, Effect, Quantizer, QuantizerComponent
from hobbit_quantizers.blob_quantizer import BlobQuantizer
from hobbit_quantizers.lossless12 import STRAYS


@dataclass
class NoQuantizer(QuantizerComponent):
    """Experts stay as the checkpoint has them, bit for bit: "native", or bfloat16 packed as "lossless12".

    Of `strays` weights lossless12 has room for one that is far smaller than its row's largest.
    """

    name: ClassVar[str] = "none"
    effect: ClassVar[Effect] = Effect.HINT
    strays: int = STRAYS

    def build(self, context: Context) -> Quantizer:
        """The quantizer; it refuses every precision that loses anything."""
        return BlobQuantizer(self.name, {}, self.strays)
