"""What is measured: shapes, formats, bars, and the block sizes to try."""

from __future__ import annotations

from dataclasses import dataclass, field

from hobbit_devices.kernels.configs import Blocks, Plan, grouped_plan
from hobbit_devices.kernels.formats import ExpertFormat

from hobbit.api import Geometry

DEVICE = "cuda"
MIXTRAL = Geometry(name="mixtral_8x7b", experts=8, top_k=2, hidden=4096, ffn=14336)
QWEN3 = Geometry(name="qwen3_30b_a3b", experts=128, top_k=8, hidden=2048, ffn=768)


@dataclass(frozen=True, slots=True)
class Case:
    """A shape in a format. `bar` is a share of the device's bandwidth; None: faster than native."""

    geometry: Geometry
    precision: str
    bar: float | None
    label: str = field(init=False)

    def __post_init__(self) -> None:
        name = "bf16" if self.precision == "native" else self.precision
        object.__setattr__(self, "label", f"{self.geometry.name} {name}")


CASES = (
    Case(MIXTRAL, "native", 0.70),
    Case(MIXTRAL, "lossless12", 0.70),
    Case(MIXTRAL, "int8", 0.70),
    Case(MIXTRAL, "int4", 0.60),
    Case(MIXTRAL, "int2", 0.45),
    Case(QWEN3, "native", 0.50),
    Case(QWEN3, "lossless12", None),
    Case(QWEN3, "int8", None),
    Case(QWEN3, "int4", None),
    Case(QWEN3, "int2", None),
)

CHECKED_TOKENS = (3, 40, 300, 700)
"""Tokens of the grouped products that are compared with float64."""

GROUPED_TOKENS = (2, 8, 32, 128, 256, 512, 2048)
"""Tokens of the grouped products."""


def candidates(precision: str) -> list[Blocks]:
    """Block sizes around those of the table: rows, columns, warps, stages."""
    if precision == "native":
        sizes = [(4, 512, 4), (8, 512, 4), (4, 1024, 4), (2, 1024, 4), (8, 256, 1), (4, 512, 2), (16, 512, 8)]
    elif precision == "lossless12":
        sizes = [(4, 512, 1), (8, 512, 1), (2, 512, 1), (8, 256, 1), (4, 1024, 1), (2, 1024, 1), (4, 1024, 2)]
        sizes += [(8, 512, 2), (8, 1024, 4)]
    else:
        sizes = [(4, 512, 1), (8, 512, 1), (2, 512, 1), (4, 1024, 2), (8, 1024, 2), (4, 2048, 4)]
    plain = [Blocks(n, k, warps) for n, k, warps in sizes]
    return plain + [Blocks(b.n, b.k, b.warps, stages=3) for b in plain]


def grouped_plans(format: ExpertFormat, tokens: int, shared: int) -> list[Plan]:
    """The table's plan for a batch of `tokens`, then others: (tokens, rows, warps, stages) of a block."""
    table = grouped_plan(format, tokens, shared)
    if tokens <= 16:
        sizes = [(16, 64, 4, 3), (16, 64, 4, 5), (16, 128, 8, 4)]
    elif tokens <= 128:
        sizes = [(16, 64, 4, 4), (32, 64, 4, 4), (64, 64, 4, 3), (64, 64, 4, 4)]
    else:
        sizes = [(64, 64, 4, 3), (64, 64, 4, 4), (64, 128, 8, 3), (128, 64, 4, 3), (128, 64, 8, 3)]
        sizes += [(128, 128, 8, 3), (128, 128, 8, 4)]
    k = table.up.k
    blocks = [Blocks(n, k, warps, m, stages) for m, n, warps, stages in sizes]
    return [table, *(Plan(b, b) for b in blocks if b != table.up)]
