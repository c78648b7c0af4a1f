"""optimum-quanto's integer formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hobbit.api import Context, Effect, Quantizer, QuantizerComponent
from hobbit_quantizers.blob_quantizer import BlobQuantizer
from hobbit_quantizers.grouped import GroupedFormat, ScaleSearch
from hobbit_quantizers.int8 import Int8Format
from hobbit_quantizers.lossless12 import STRAYS


@dataclass
class QuantoQuantizer(QuantizerComponent):
    """int8 per output channel, int4 and int2 per group of inputs, in optimum-quanto's generic formats.

    `group_size` weights share a scale and a shift (int4, int2); `optimizer` is their search. Of `strays`
    weights lossless12 has room for one that is far smaller than its row's largest. Blobs hold
    quanto's generic parts, never its device-packed subclasses: those change with dtype, group size and
    machine, and so do their results.
    """

    name: ClassVar[str] = "quanto"
    effect: ClassVar[Effect] = Effect.QUALITY
    source: ClassVar[str] = "https://github.com/huggingface/optimum-quanto"
    group_size: int = 64
    optimizer: ScaleSearch = ScaleSearch.max
    strays: int = STRAYS

    def build(self, context: Context) -> Quantizer:
        """The quantizer, with the precisions native, lossless12, int8, int4 and int2."""
        return BlobQuantizer(
            self.name,
            {
                "int8": Int8Format(),
                "int4": GroupedFormat(4, self.group_size, self.optimizer),
                "int2": GroupedFormat(2, self.group_size, self.optimizer),
            },
            self.strays,
        )
