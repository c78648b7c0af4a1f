"""Captions: what subtitle, badge and notes of a picture say."""

from __future__ import annotations

from hobbit.report.comparison import Board
from hobbit.report.scene import Scene

SYNTHETIC = "synthetic routing"
REASON = 160
"""Letters of an error that a note shows."""


def board_subtitle(board: Board) -> str:
    """Clock, device, geometry, workload, routing and the high precision of a board."""
    clock = "simulated clock" if board.simulated else "live, wall time"
    precisions = dict.fromkeys(row.precisions[0] for row in board.rows if row.precisions)
    high = f"experts at {' or '.join(precisions)}" if precisions else ""
    where = [clock, f"device {board.device}", f"geometry {board.geometry}", f"workload {board.workload}"]
    return " · ".join(part for part in [*where, board.routing, high] if part)


def scene_subtitle(scene: Scene) -> str:
    """Clock, device, geometry and loss of one replay."""
    return f"{scene.clock} · {scene.device} · geometry {scene.geometry} · {scene.loss}"


def badge(synthetic: bool) -> str:
    """The mark of a picture whose routing no model made."""
    return SYNTHETIC if synthetic else ""


def shortened(text: str) -> str:
    """On one line, and no longer than a note may be."""
    line = " ".join(text.split())
    return line if len(line) <= REASON else line[: REASON - 1].rstrip() + "…"
