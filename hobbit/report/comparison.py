"""Comparison: cells summed up to one row a policy, for tables by device and geometry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from hobbit.report.cell import Cell
from hobbit.report.measures import Measures

BASELINE = "on_demand"
"""What speed-ups are over."""


@dataclass(frozen=True, slots=True)
class Row:
    """One policy on one device and geometry, over `pairs` pairs of lengths; every token counts alike.

    `prefill_s` is the mean of a prompt, `miss_penalty` that of a decoded token. `speed_up` is over loading on
    demand; None, as elsewhere, where there is nothing to say.
    """

    policy: str
    pairs: int
    lossless: bool
    synthetic: bool
    precisions: tuple[str, ...]
    decode_tokens_per_s: float
    speed_up: float | None
    prefill_s: float
    bytes_per_token: float
    stall_share: float
    hit_ratio: float
    miss_penalty: float
    miss_penalty_vs_belady: float | None
    mean_kl: float | None
    gap_closed: float | None


@dataclass(frozen=True, slots=True)
class Board:
    """The rows of one device and geometry, fastest first."""

    device: str
    geometry: str
    workload: str
    routing: str
    simulated: bool
    synthetic: bool
    rows: tuple[Row, ...]


def boards(cells: Iterable[Cell]) -> list[Board]:
    """One board for each device and geometry, in the order they come; cells without measures are left out."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if cell.measures is not None:
            found.setdefault((cell.device, cell.geometry), []).append(cell)
    return [_board(group) for group in found.values()]


def by_lengths(cells: Iterable[Cell]) -> list[tuple[int, int, list[Board]]]:
    """The boards of each pair of lengths by itself: prompt tokens, decoded tokens, boards."""

    def key(cell: Cell) -> tuple[int, int]:
        return cell.prompt_tokens, cell.decode_tokens

    return [(*pair, boards(group)) for pair, group in groupby(sorted(cells, key=key), key)]


def failures(cells: Iterable[Cell]) -> list[str]:
    """A line for every cell that could not be measured; one for all lengths where they fail alike."""
    found: dict[tuple[str, ...], list[str]] = {}
    for cell in cells:
        if cell.error is not None:
            lengths = f"{cell.prompt_tokens}+{cell.decode_tokens}"
            found.setdefault((cell.policy, cell.device, cell.geometry, cell.error), []).append(lengths)
    return [
        f"{policy} on {device} with {geometry} ({', '.join(lengths)}): {error}"
        for (policy, device, geometry, error), lengths in found.items()
    ]


def notes(cells: Iterable[Cell]) -> list[str]:
    """What is to be known of policies, each note once with all that it is about."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        for note in cell.notes:
            about = f"{cell.policy} on {cell.device} with {cell.geometry}"
            found.setdefault(note, []).append(about)
    return [f"{', '.join(dict.fromkeys(about))}: {note}" for note, about in found.items()]


def _board(cells: Sequence[Cell]) -> Board:
    policies: dict[str, list[Cell]] = {}
    for cell in cells:
        policies.setdefault(cell.policy, []).append(cell)
    rows = [_row(group, policies.get(BASELINE, ())) for group in policies.values()]
    first = cells[0]
    return Board(
        first.device,
        first.geometry,
        first.workload,
        first.routing,
        first.simulated,
        first.synthetic,
        tuple(sorted(rows, key=lambda row: -row.decode_tokens_per_s)),
    )


def _row(cells: Sequence[Cell], baseline: Sequence[Cell]) -> Row:
    first, measures = cells[0], _measures(cells)
    lengths = {(cell.prompt_tokens, cell.decode_tokens) for cell in cells}
    base = _speed(_measures(c for c in baseline if (c.prompt_tokens, c.decode_tokens) in lengths))
    speed, seconds = _speed(measures), [_seconds(m) for m in measures]
    tokens = [m.decode_tokens for m in measures]
    prompts = sum(m.prefill_tokens / cell.prompt_tokens for cell, m in zip(cells, measures, strict=True))
    return Row(
        policy=first.policy,
        pairs=len(cells),
        lossless=all(cell.lossless for cell in cells),
        synthetic=first.synthetic,
        precisions=first.precisions,
        decode_tokens_per_s=speed,
        speed_up=speed / base if base else None,
        prefill_s=sum(m.prefill_s for m in measures) / prompts,
        bytes_per_token=_weighted([m.bytes_per_token for m in measures], tokens),
        stall_share=_weighted([m.stall_share for m in measures], seconds),
        hit_ratio=_weighted([m.hit_ratio for m in measures], tokens),
        miss_penalty=sum(m.miss_penalty for m in measures) / sum(tokens),
        miss_penalty_vs_belady=_mean(cell.miss_penalty_vs_belady for cell in cells),
        mean_kl=_mean(cell.quality.mean_kl if cell.quality else None for cell in cells),
        gap_closed=_mean(cell.gap_closed for cell in cells),
    )


def _measures(cells: Iterable[Cell]) -> list[Measures]:
    return [cell.measures for cell in cells if cell.measures is not None]


def _seconds(measures: Measures) -> float:
    """Of decode."""
    speed = measures.decode_tokens_per_s
    return measures.decode_tokens / speed if speed else 0.0


def _speed(measures: Sequence[Measures]) -> float:
    """All tokens over all seconds."""
    seconds = sum(map(_seconds, measures))
    return sum(m.decode_tokens for m in measures) / seconds if seconds else 0.0


def _weighted(values: Sequence[float], weights: Sequence[float]) -> float:
    total = sum(weights)
    return (
        sum(value * weight for value, weight in zip(values, weights, strict=True)) / total if total else 0.0
    )


def _mean(values: Iterable[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
