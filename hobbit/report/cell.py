"""Cell: one policy on one device, geometry and workload; a comparison is a file of them, a JSON line each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

from hobbit.api import Effect
from hobbit.report.measures import Measures


@dataclass(frozen=True, slots=True)
class CellQuality:
    """Quality over all domains: KL in nats of `tokens` decoded positions, against the high precision."""

    tokens: int
    mean_kl: float
    p99_kl: float
    top1_agreement: float
    perplexity: float
    reference_perplexity: float
    prefill_kl: float


@dataclass(frozen=True, slots=True)
class Cell:
    """What was measured of one (policy, device, geometry, workload), or in `error` why nothing could be.

    `key` is a digest of all that determines the figures, so that equal keys mean equal figures; `comparison`
    one of what the cells of one table share. `routing`
    says where the routing comes from; `synthetic`: it was generated, no model made it. `effect` is the
    strongest of the policy's components (hint, exact or quality); `lossless` is relative to the first of
    `precisions`, high first, and `slots` are the experts that each of them can hold. `prompt_tokens` and
    `decode_tokens` are those of each sequence; `measures` are over all sequences. `quality` is None where no
    model ran. `miss_penalty_vs_belady` is the miss penalty over that of Belady on the same routing;
    `gap_closed` the share of the way from LRU's loads to Belady's that a demand-fetching policy of one
    precision goes at equal slots (0: LRU, 1: Belady). `seconds` are of wall time, spent on this cell.
    """

    version: str
    key: str
    policy: str
    device: str
    geometry: str
    workload: str
    comparison: str = ""
    routing: str = ""
    synthetic: bool = False
    simulated: bool = True
    effect: Effect = Effect.HINT
    lossless: bool = True
    precisions: tuple[str, ...] = ()
    slots: tuple[int, ...] = ()
    prompt_tokens: int = 0
    decode_tokens: int = 0
    measures: Measures | None = None
    quality: CellQuality | None = None
    miss_penalty_vs_belady: float | None = None
    gap_closed: float | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return {**asdict(self), "effect": self.effect.value}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Cell:
        """The cell that `to_json` gave; keys of a newer version are ignored.

        Raises:
            KeyError, TypeError, ValueError: if the values are not a cell's.
        """
        known = _known(Cell, values)
        known["effect"] = Effect(known["effect"])
        for name in ("precisions", "slots", "notes"):
            known[name] = tuple(known[name])
        if known["measures"] is not None:
            known["measures"] = _measures(known["measures"])
        if known["quality"] is not None:
            known["quality"] = CellQuality(**_known(CellQuality, known["quality"]))
        return Cell(**known)


def _known(schema: type, values: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: values[field.name] for field in fields(schema) if field.name in values}


def _measures(values: Mapping[str, Any]) -> Measures:
    known = _known(Measures, values)
    for name in ("hit_ratios", "served"):
        known[name] = tuple(known[name])
    return Measures(**known)


def read_cells(path: Path) -> list[Cell]:
    """The cells in `path`, of several with one key the last; what an interrupted run wrote half is left out.

    Raises:
        OSError: if the file cannot be read.
    """
    cells: dict[str, Cell] = {}
    for line in path.read_bytes().split(b"\n"):
        cell = _read_line(line)
        if cell is not None:
            cells[cell.key] = cell
    return list(cells.values())


def _read_line(line: bytes) -> Cell | None:
    """The cell of one line, None if it is none."""
    try:
        return Cell.from_json(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def append_cell(file: BinaryIO, cell: Cell) -> None:
    """Append one whole line to `file`, which must be open for appending, unbuffered or not."""
    file.write(json.dumps(cell.to_json(), ensure_ascii=False).encode() + b"\n")
    file.flush()


def mend(path: Path) -> None:
    """Cut off a last line without an end, so that the next one starts on a line of its own.

    Raises:
        OSError: if the file cannot be written.
    """
    with path.open("r+b") as file:
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
