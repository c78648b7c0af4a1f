"""Jobs of a layer: where each is, and which run in one call."""

from __future__ import annotations

from itertools import groupby

from hobbit.api import Job


def place_of(job: Job) -> tuple[int, int]:
    """Level and slot."""
    return job.key.level, job.slot


def by_level(jobs: list[Job]) -> list[list[Job]]:
    """Jobs of one precision together; there is at least one."""
    first = jobs[0].key.level
    if all(job.key.level == first for job in jobs):
        return [jobs]
    return [list(same) for _, same in groupby(sorted(jobs, key=_level), key=_level)]


def _level(job: Job) -> int:
    return job.key.level
