"""What convert and verify say of a bundle, as tables and as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from hobbit.config.schema import Output
from hobbit.report.output import WIDTH
from hobbit.report.tables import empty_table
from hobbit.sizes import format_size
from hobbit.store.bundle import BundleIndex

if TYPE_CHECKING:
    from hobbit.engine.verification import Damage

FORMAT = "hobbit-bundle-report"
SHOWN = 20
"""Damaged places that a table shows; the JSON has them all."""


def emit_bundle(
    task: str,
    folder: Path,
    index: BundleIndex,
    output: Output,
    notes: Sequence[str],
    damage: Sequence[Damage] = (),
) -> None:
    """Print what the bundle in `folder` holds, and what is wrong with it."""
    if output is Output.json:
        values = _as_json(task, folder, index, notes, damage)
        sys.stdout.write(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
        return
    console = Console(width=max(WIDTH, Console().width))
    shape = index.shape
    held = f"{shape.layers} MoE layers of {shape.experts} experts, top-{shape.top_k}"
    for label, text in (("bundle", str(folder)), ("model", f"{index.model}: {held}")):
        console.print(f"{label:8}{text}", highlight=False, markup=False, soft_wrap=True)
    console.print()
    console.print(_levels(folder, index, damage, task == "verify"))
    if damage:
        console.print()
        console.print(_damage(damage))
    for note in notes:
        console.print(f"note: {note}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def _levels(folder: Path, index: BundleIndex, damage: Sequence[Damage], checked: bool) -> Table:
    table = empty_table("part", ">pieces", ">size of one", ">in all", *([">damaged"] if checked else []))
    rows = index.shape.layers * index.shape.experts
    for level in index.levels:
        cells = [level.precision, str(rows), format_size(level.nbytes), format_size(rows * level.stride)]
        hurt = sum(1 for entry in damage if entry.precision == level.precision)
        table.add_row(*cells, *([str(hurt)] if checked else []))
    for name, files in (("other weights", index.weights), ("copied files", index.files)):
        size = sum((folder / file).stat().st_size for file in files)
        hurt = len({entry.file for entry in damage if entry.file in files})
        table.add_row(name, str(len(files)), "", format_size(size), *([str(hurt)] if checked else []))
    return table


def _damage(damage: Sequence[Damage]) -> Table:
    table = empty_table("file", "precision", ">layer", ">expert", "what")
    for entry in damage[:SHOWN]:
        where = (entry.precision, entry.layer, entry.expert)
        table.add_row(entry.file, *("" if value is None else str(value) for value in where), entry.what)
    if len(damage) > SHOWN:
        table.add_row(f"and {len(damage) - SHOWN} more", "", "", "", "")
    return table


def _as_json(
    task: str, folder: Path, index: BundleIndex, notes: Sequence[str], damage: Sequence[Damage]
) -> dict[str, Any]:
    shape = index.shape
    return {
        "format": FORMAT,
        "task": task,
        "path": str(folder),
        "model": index.model,
        "shape": {"layers": shape.layers, "experts": shape.experts, "top_k": shape.top_k},
        "levels": [
            {"precision": level.precision, "quantizer": level.quantizer, "options": dict(level.options),
             "blob_bytes": level.nbytes, "bytes": shape.layers * shape.experts * level.stride}
            for level in index.levels
        ],
        "weights": list(index.weights),
        "files": list(index.files),
        "notes": list(notes),
        "damage": [
            {"file": entry.file, "precision": entry.precision, "layer": entry.layer, "expert": entry.expert,
             "what": entry.what}
            for entry in damage
        ],
    }  # fmt: skip
