"""Right first: every format and shape against float64, in one call and in two."""

from __future__ import annotations

import torch

from benchmarks.kernels.cases import CHECKED_TOKENS, DEVICE
from benchmarks.kernels.slots import Bench

TOLERANCE = 8e-3
"""Relative error allowed: bfloat16 rounds the hidden activations, and in groups the weights."""


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    """|found - exact| / |exact|."""
    return float((found.double() - exact).norm() / exact.norm())


def check(bench: Bench) -> dict[str, float]:
    """Errors by kind of call. Raises RuntimeError if one is too large or a split call has other bits."""
    errors = {"single": _single(bench)}
    if bench.kernels.cut:
        errors["part"] = _part(bench)
    for tokens in CHECKED_TOKENS:
        errors[f"grouped {tokens}"] = _grouped(bench, tokens)
    wrong = {name: value for name, value in errors.items() if not value < TOLERANCE}
    if wrong:
        raise RuntimeError(f"{bench.case.label}: wrong results, relative errors {wrong}")
    return errors


def _single(bench: Bench) -> float:
    x, slots, hidden = bench.states(1, seed=7), bench.slots[1], bench.case.geometry.hidden
    exact = torch.full((len(slots), hidden), float("nan"), dtype=torch.float64, device=DEVICE)
    bench.exact.run(x, slots, bench.tokens, exact)
    whole, parts = (torch.full_like(exact, float("nan"), dtype=torch.float32) for _ in range(2))
    bench.kernels.run(x, slots, bench.tokens, whole)
    bench.kernels.run(x, slots[1:], bench.tokens[1:], parts[1:])
    bench.kernels.run(x, slots[:1], bench.tokens[:1], parts[:1])
    if not torch.equal(whole, parts):
        raise RuntimeError(f"{bench.case.label}: two calls have other bits than one")
    return error(whole, exact)


def _part(bench: Bench) -> float:
    """Of the last third of the hidden units."""
    x, slots, cut, hidden = (
        bench.states(1, seed=6),
        bench.slots[1],
        bench.kernels.cut,
        bench.case.geometry.hidden,
    )
    first = bench.case.geometry.ffn * 2 // 3 // cut * cut
    exact = torch.full((len(slots), hidden), float("nan"), dtype=torch.float64, device=DEVICE)
    found = torch.full_like(exact, float("nan"), dtype=torch.float32)
    bench.exact.run(x, slots, bench.tokens, exact, first)
    bench.kernels.run(x, slots, bench.tokens, found, first)
    return error(found, exact)


def _grouped(bench: Bench, tokens: int) -> float:
    x, (slots, offsets, order) = bench.states(tokens, seed=8), bench.grouped(tokens, seed=9)
    hidden = bench.case.geometry.hidden
    exact = torch.full((len(order), hidden), float("nan"), dtype=torch.float64, device=DEVICE)
    bench.exact.run_grouped(x, slots, offsets, order, exact)
    whole, parts = (torch.full_like(exact, float("nan"), dtype=torch.float32) for _ in range(2))
    bench.kernels.run_grouped(x, slots, offsets, order, whole)
    cut = len(slots) // 2
    middle = int(offsets[cut])
    bench.kernels.run_grouped(x, slots[:cut], offsets[: cut + 1], order[:middle], parts[:middle])
    late = (offsets[cut:] - middle).int()
    bench.kernels.run_grouped(x, slots[cut:], late, order[middle:], parts[middle:])
    if not torch.equal(whole, parts):
        raise RuntimeError(f"{bench.case.label}: two grouped calls have other bits than one")
    return error(whole, exact)
