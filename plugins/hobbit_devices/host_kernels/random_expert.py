"""A random expert of any format, for a look at whether it is computed rightly."""

from __future__ import annotations

import torch

from hobbit_devices.kernels.formats import LOSSLESS12_BITS, ExpertFormat, PackedMatrix

HIDDEN, FFN, GROUP = 64, 96, 32


def random_expert(bits: int, dtype: torch.dtype) -> tuple[ExpertFormat, torch.Tensor]:
    """The format and a blob of an expert whose weights take `bits`, 0 for native ones."""
    generator = torch.Generator().manual_seed(bits)
    parts: list[torch.Tensor] = []
    matrices = []
    for rows, columns in ((2 * FFN, HIDDEN), (HIDDEN, FFN)):
        stored = _stored(bits, dtype, rows, columns, generator)
        offsets = {}
        for name, part in stored.items():
            offsets[name] = sum(map(len, parts))
            parts.append(part.flatten().view(torch.uint8))
        matrices.append(PackedMatrix(rows, columns, bits, GROUP if bits in (2, 4) else 0, **offsets))
    return ExpertFormat(matrices[0], matrices[1], str(dtype).removeprefix("torch.")), torch.cat(parts)


def _stored(
    bits: int, dtype: torch.dtype, rows: int, columns: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """The parts of a matrix under their names."""

    def numbers(count: int) -> torch.Tensor:
        return (torch.rand(count, generator=generator) - 0.4).to(dtype)

    def whole(count: int) -> torch.Tensor:
        return torch.randint(0, 256, (count,), generator=generator).to(torch.uint8)

    values = rows * columns
    if bits == 0:
        return {"data": numbers(values)}
    if bits == LOSSLESS12_BITS:
        return _lossless12(rows, columns, generator)
    if bits == 8:
        return {"data": whole(values), "scale": numbers(rows)}
    groups = values // GROUP
    return {"data": whole(values * bits // 8), "scale": numbers(groups), "shift": numbers(groups)}


def _lossless12(rows: int, columns: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Weights of all codes and signs, zeros of both, and a stray in each row but the last."""
    data, halves = (torch.randint(0, most, (rows, columns), generator=generator) for most in (256, 16))
    data[(halves & 7 == 0) & (data < 128)] = 0  # a zero has no mantissa
    row = torch.arange(rows - 1)
    column = row * 5 % columns
    data[row, column] = halves[row, column] = 0
    words = halves.view(rows, columns // 8, 2, 4)
    strays = column << 16 | torch.randint(0x3E00, 0x3F00, row.shape, generator=generator)
    return {
        "data": data.byte(),
        "codes": (words[:, :, 0] | words[:, :, 1] << 4).byte(),
        "scale": torch.exp2(torch.randint(-3, 1, (rows,), generator=generator)).bfloat16(),
        "starts": torch.arange(rows + 1).clamp(max=rows - 1).int(),
        "strays": strays.int(),
    }
