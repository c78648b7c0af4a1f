"""The Pareto front: what nothing else beats in both respects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Point(NamedTuple):
    """One policy: mean KL in nats (less is better) and decode speed in tokens/s (more is better)."""

    policy: str
    kl: float
    speed: float
    lossless: bool


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """The points that no other beats or equals in one respect and beats in the other, by rising KL.

    Of equal ones the first by name stands for all.
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.kl, -point.speed, point.policy)):
        if not front or point.speed > front[-1].speed:
            front.append(point)
    return front
