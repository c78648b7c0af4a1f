"""int4 and int2 with a scale and a shift per group of input weights: optimum-quanto's qint4 and qint2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import TYPE_CHECKING

from hobbit.blob import TensorSpec
from hobbit.errors import ConfigError
from hobbit_quantizers.chunks import chunks

if TYPE_CHECKING:
    import torch


class ScaleSearch(Enum):
    """How quanto looks for a group's scale and shift."""

    max = "max"  # the group's range (MaxOptimizer)
    hqq = "hqq"  # that scale, the shift by half-quadratic steps (HqqOptimizer; Badri & Shaji 2023)


@dataclass(frozen=True, slots=True)
class GroupedFormat:
    """w ~ scale * data - shift, data in 0 .. 2^bits - 1, over groups of `group_size` weights along the input.

    Parts of a [rows, columns] matrix of G = rows * columns / group_size groups: `data` uint8
    [ceil(G * bits / 8), group_size] in quanto's generic packing (byte row r holds the groups r, r + R, ...,
    R being the packed rows), `scale` and `shift` [G, 1] in the matrix's dtype.
    """

    bits: int
    group_size: int
    search: ScaleSearch

    def parts(self, spec: TensorSpec) -> tuple[tuple[str, TensorSpec], ...]:
        """Data, scale and shift. Raises ConfigError if the groups do not divide the rows."""
        columns = spec.shape[1]
        if self.group_size < 1 or columns % self.group_size:
            raise ConfigError(
                f"quantizer.group_size={self.group_size} does not divide the {columns} input columns of an "
                f"expert tensor of shape {list(spec.shape)}; choose a divisor of {columns}"
            )
        groups = prod(spec.shape) // self.group_size
        scale = TensorSpec((groups, 1), spec.dtype)
        packed = TensorSpec((-(-groups * self.bits // 8), self.group_size), "uint8")
        return (("data", packed), ("scale", scale), ("shift", scale))

    def encode(self, weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Scale search and rounding in float32, against the scale and shift as they will be stored."""
        import torch
        from optimum.quanto.tensor.packed import pack_weights

        groups = weights.reshape(-1, self.group_size)  # [G, group_size]
        data = torch.empty(groups.shape, dtype=torch.uint8, device=weights.device)
        scale, shift = weights.new_empty((2, len(groups), 1)).unbind()
        for part in self._parts(groups):
            self._encode_part(groups[part].to(torch.float32, copy=True), data[part], scale[part], shift[part])
        return pack_weights(data, self.bits), scale, shift

    def decode(self, parts: Sequence[torch.Tensor], spec: TensorSpec) -> torch.Tensor:
        """scale * data - shift, rounded after each step, as quanto's QBitsTensor.dequantize."""
        packed, scale, shift = parts
        values = self._unpack(packed, scale.shape[0]).to(scale.dtype)  # exact: at most 4 bits
        return values.mul_(scale).sub_(shift).view(spec.shape)

    def _unpack(self, packed: torch.Tensor, groups: int) -> torch.Tensor:
        """uint8 [groups, group_size] of values in 0 .. 2^bits - 1."""
        import torch

        shifts = torch.arange(0, 8, self.bits, dtype=torch.uint8, device=packed.device)
        values = packed >> shifts[:, None, None]
        return values.bitwise_and_(2**self.bits - 1).view(-1, self.group_size)[:groups]

    def _parts(self, groups: torch.Tensor) -> Iterable[slice]:
        """What is encoded at once: HQQ stops when all of them have settled, a range is a group's own."""
        return (slice(None),) if self.search is ScaleSearch.hqq else chunks(groups)

    def _encode_part(
        self, base: torch.Tensor, data: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor
    ) -> None:
        """Fill data, scale and shift of some groups; `base` is used up."""
        import torch
        from optimum.quanto import HqqOptimizer, MaxOptimizer, qtypes

        optimizer = HqqOptimizer() if self.search is ScaleSearch.hqq else MaxOptimizer()
        found = optimizer(base, qtypes[f"qint{self.bits}"], axis=0)
        # A constant group has no range, and would divide by zero.
        scale.copy_(found[0]).clamp_(min=torch.finfo(scale.dtype).tiny)
        shift.copy_(found[1])
        # quanto's quantize_affine, in place: a fresh tensor a step takes longer than the step.
        data.copy_(base.add_(shift.float()).div_(scale.float()).round_().clamp_(0, 2**self.bits - 1))
