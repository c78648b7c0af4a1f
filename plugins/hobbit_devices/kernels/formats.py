"""Where the matrices of an expert lie in its blob, as the kernels need to know it."""

from __future__ import annotations

from dataclasses import dataclass

from hobbit.api import BlobField, BlobLayout, TensorSpec
from hobbit.api.quantizer import LOSSLESS12
from hobbit.errors import DeviceError

UP, DOWN = "gate_up_proj", "down_proj"
"""The tensors of an expert, in blob order, under the names of transformers' experts modules."""

LOSSLESS12_BITS = 12
"""Bits of a weight of bfloat16 that are enough for all of it."""


@dataclass(frozen=True, slots=True)
class PackedMatrix:
    """A matrix [rows, columns] in a blob: byte offsets of its parts, -1 for a part that it lacks.

    `bits` is 0 for native weights, which are stored as they are; else 8 (a scale a row), 4 or 2 (a scale and
    a shift per `group` columns). A byte of 4 or 2 bits holds `planes` rows: plane q of byte row i is matrix
    row i + q * rows / planes, at the same column. 12 bits are bfloat16 without a loss: `data`
    has a byte a weight, +-1.m x 2^(code - 15) times its row's `scale` (code 0: zero) with the last bit of the
    code before the seven of m; `codes` four bits a weight, the sign before the others of the code, columns
    k + j and k + 4 + j in the low and the high half of byte j of the four for columns k .. k + 7. Weights of
    row r without a code are the `strays` starts[r] .. starts[r + 1]: column x 2^16 + the weight's own bits.
    """

    rows: int
    columns: int
    bits: int
    group: int
    data: int
    scale: int = -1
    shift: int = -1
    codes: int = -1
    starts: int = -1
    strays: int = -1

    @property
    def planes(self) -> int:
        """Matrix rows that share one row of the stored data."""
        return 8 // self.bits if self.bits in (2, 4) else 1


@dataclass(frozen=True, slots=True)
class ExpertFormat:
    """The two matrices of a gated expert: `up` [2F, d] (gate rows, then up rows) and `down` [d, F]."""

    up: PackedMatrix
    down: PackedMatrix
    dtype: str

    @property
    def hidden(self) -> int:
        """d."""
        return self.up.columns

    @property
    def ffn(self) -> int:
        """F."""
        return self.down.columns

    @property
    def name(self) -> str:
        """What the weights are: the dtype of native ones, else "lossless12", "int8", "int4", "int2"."""
        if self.up.bits == LOSSLESS12_BITS:
            return LOSSLESS12
        return f"int{self.up.bits}" if self.up.bits else self.dtype

    @property
    def up_rows(self) -> int:
        """Stored rows of gate weights: an int4 byte has the up row's as well, one of int2 two of each."""
        return self.ffn // (self.up.planes // 2) if self.up.planes > 1 else self.ffn

    @property
    def down_rows(self) -> int:
        """Stored rows of `down`."""
        return self.hidden // self.down.planes

    @property
    def cut(self) -> int:
        """The hidden units can be parted at multiples of so many; 0: they cannot.

        A part is then made of whole groups and whole loads of 16 bytes. A byte of int2 holds the rows of two
        units half of all apart, which no part holds both.
        """
        if self.up.bits == LOSSLESS12_BITS:
            return 32
        return 0 if self.up.bits == 2 else max(16, self.down.group)

    @staticmethod
    def of(layout: BlobLayout) -> ExpertFormat:
        """The format of blobs laid out as `layout`. Raises DeviceError if it is none of those above."""
        names = tuple(name for name, _ in layout.tensors)
        if names != (UP, DOWN):
            raise DeviceError(f"an expert of the tensors {', '.join(names)} is not a plain gated one")
        specs = dict(layout.tensors)
        up, down = (
            _matrix(specs[name], [field for field in layout.fields if field.tensor == name]) for name in names
        )
        if up.rows != 2 * down.columns or up.columns != down.rows or up.bits != down.bits:
            raise DeviceError(
                f"the shapes {specs[UP].shape} and {specs[DOWN].shape} are not a gated expert's"
            )
        return ExpertFormat(up, down, specs[UP].dtype)


def _matrix(spec: TensorSpec, fields: list[BlobField]) -> PackedMatrix:
    parts = {field.part: field for field in fields}
    rows, columns = spec.shape
    offsets = {part: field.offset for part, field in parts.items()}
    data = parts["data"].spec
    if set(parts) == {"data"} and data == spec:
        return PackedMatrix(rows, columns, 0, 0, **offsets)
    if set(parts) == {"data", "codes", "scale", "starts", "strays"}:
        return PackedMatrix(rows, columns, LOSSLESS12_BITS, 0, **offsets)
    if set(parts) == {"data", "scale"} and data.dtype == "int8" and parts["scale"].spec.shape == (rows, 1):
        return PackedMatrix(rows, columns, 8, 0, **offsets)
    if set(parts) == {"data", "scale", "shift"} and data.dtype == "uint8":
        packed, group = data.shape
        groups = parts["scale"].spec.shape[0]
        bits = 8 * packed // groups
        if bits in (2, 4) and packed * 8 == groups * bits and groups * group == rows * columns:
            return PackedMatrix(rows, columns, bits, group, **offsets)
    raise DeviceError(
        f"blobs with the parts {', '.join(parts)} for a matrix of {spec.shape} are of no known format"
    )
