"""bfloat16 in 12 bits, bit for bit: weights of a row have few exponents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hobbit.blob import TensorSpec
from hobbit.errors import ConfigError
from hobbit_quantizers.chunks import chunks

if TYPE_CHECKING:
    import torch

WINDOW = 15
"""Exponents of a row that have a code: its largest one and those next below. Code 0 is a zero."""

LOWEST = WINDOW + 1
"""The least that the largest exponent of a row is taken for, so that all codes are exponents of bfloat16."""

INFINITE = 255
"""The exponent of infinities and of what is not a number."""

STRAYS = 512
"""A matrix has room for one stray among so many weights: normally distributed ones have one in 7,000."""

FEWEST = 64
"""Strays that a matrix has room for however small it is."""

WORD = 8
"""Columns whose codes share four bytes."""


@dataclass(frozen=True, slots=True)
class Lossless12Format:
    """w = +-1.m x 2^(code - 15) x scale, scale being a row's largest power of two; exact, or refused.

    A weight of bfloat16 is a sign, 8 bits of exponent and 7 of mantissa m. Trained weights use few exponents
    and hardly ever others (DFloat11, arXiv:2504.11651, section 2: 2.6 bits of information), hence 4 bits of
    code. Codes of one length, other than Huffman's, can be read anywhere and taken apart in a few
    instructions. Weights too small for a code are strays, listed row by row.

    Parts of a [rows, columns] matrix, columns a multiple of 8:
    `data` uint8 [rows, columns]: the code's last bit, then the mantissa;
    `codes` uint8 [rows, columns / 2]: sign and the code's other bits, of columns k + j and k + 4 + j in the
    low and the high half of byte j of the four that belong to columns k .. k + 7;
    `scale` bfloat16 [rows, 1];
    `starts` int32 [rows + 1]: where the strays of each row begin;
    `strays` int32 [room]: column x 2^16 + the weight's own bits, zero where there are none.

    There is room for one stray among `spread` weights.
    """

    spread: int = STRAYS

    def parts(self, spec: TensorSpec) -> tuple[tuple[str, TensorSpec], ...]:
        """Raises ConfigError if the dtype is another, or the shape does not fit."""
        rows, columns = spec.shape
        if spec.dtype != "bfloat16":
            raise ConfigError(
                f"lossless12 stores bfloat16, not {spec.dtype}, whose weights do not fit 12 bits; use native"
            )
        if columns % WORD or columns > 2**16:
            raise ConfigError(
                f"lossless12 takes input columns in multiples of {WORD} up to 65536, not the {columns} of an "
                f"expert tensor of shape {list(spec.shape)}; use native"
            )
        return (
            ("data", TensorSpec((rows, columns), "uint8")),
            ("codes", TensorSpec((rows, columns // 2), "uint8")),
            ("scale", TensorSpec((rows, 1), spec.dtype)),
            ("starts", TensorSpec((rows + 1,), "int32")),
            ("strays", TensorSpec((self._room(rows, columns),), "int32")),
        )

    def encode(self, weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Raises ConfigError if a weight is infinite or not a number, or if there are too many strays."""
        import torch

        rows, columns = weights.shape
        place = weights.device
        data = torch.empty((rows, columns), dtype=torch.uint8, device=place)
        codes = torch.empty((rows, columns // 2), dtype=torch.uint8, device=place)
        scale = torch.empty((rows, 1), dtype=torch.bfloat16, device=place)
        counts, found = [], []
        for part in chunks(weights):
            bits = weights[part].contiguous().view(torch.int16).int() & 0xFFFF
            exponents = bits >> 7 & 0xFF
            largest = exponents.amax(1, keepdim=True).clamp_(min=LOWEST)
            if bool((largest == INFINITE).any()):
                raise ConfigError("lossless12 stores finite weights: an expert has others; use native")
            code = exponents - largest + WINDOW
            astray = (code < 1) & (bits & 0x7FFF != 0)
            # A stray is a zero among the codes. So is a zero, which keeps its sign.
            code.clamp_(min=0)
            bits.masked_fill_(astray, 0)
            data[part] = ((code & 1) << 7 | bits & 0x7F).byte()
            halves = (bits >> 12 & 8 | code >> 1).view(-1, columns // WORD, 2, WORD // 2)
            codes[part] = (halves[:, :, 0] | halves[:, :, 1] << 4).byte().view(-1, columns // 2)
            scale[part] = (largest << 7).short().view(torch.bfloat16)
            counts.append(astray.sum(1))
            row, column = astray.nonzero(as_tuple=True)
            found.append(column << 16 | weights[part][row, column].view(torch.int16).long() & 0xFFFF)
        strays = torch.cat(found)
        room = torch.zeros(self._room(rows, columns), dtype=torch.int32, device=place)
        if len(strays) > len(room):
            enough = max(1, weights.numel() // (2 * len(strays)))
            raise ConfigError(
                f"lossless12 has room for {len(room)} weights of a {rows} x {columns} matrix that are 2^15 "
                f"times smaller than their row's largest; an expert has {len(strays)}; make room with "
                f"quantizer.strays={enough}, or use native"
            )
        room[: len(strays)] = strays.int()  # wraps, as it should: all 32 bits are used
        starts = torch.zeros(rows + 1, dtype=torch.int32, device=place)
        starts[1:] = torch.cat(counts).cumsum(0)
        return data, codes, scale, starts, room

    def decode(self, parts: Sequence[torch.Tensor], spec: TensorSpec) -> torch.Tensor:
        """The weights that were encoded."""
        import torch

        data, codes, scale, starts, strays = parts
        rows, columns = spec.shape
        words = codes.view(rows, columns // WORD, WORD // 2)
        low, high = words & 7 | (words & 8) << 4, words >> 4 & 7 | words & 0x80
        tops = torch.stack([low, high], 2).view(rows, columns)
        # Sign, exponent and mantissa where bfloat16 has them, 2^112 / scale times too small; zeros are zeros.
        weights = torch.stack([data, tops], 2).view(torch.bfloat16).view(rows, columns)
        weights.mul_(2.0**112).mul_(scale)
        bits = weights.view(torch.int16)
        row = torch.arange(rows, device=data.device).repeat_interleave(starts.diff())
        kept = strays[: len(row)]
        bits[row, kept >> 16 & 0xFFFF] = kept.short()  # wraps: the lower half
        return weights

    def _room(self, rows: int, columns: int) -> int:
        return max(FEWEST, rows * columns // self.spread)
