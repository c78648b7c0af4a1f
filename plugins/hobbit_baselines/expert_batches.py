"""Which waiting tokens run together: Read-ME's batching by expert, where routes are known ahead.

Read-ME (arXiv 2410.19123) routes a token to one expert, the same in every layer, before the backbone runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

Batch = list[int]
"""Positions of tokens in the waiting line."""


def expert_aware(routes: Sequence[int], budget: int) -> Iterator[Batch]:
    """Batches of at most `budget` tokens that share experts; `routes` are the experts of the waiting tokens.

    Each expert has a queue. A batch takes the longest queue (ties: the lower expert), as far as the budget
    goes, then the longest of what is left, until it is full; it ends when all queues are empty.
    """
    queues: dict[int, deque[int]] = {expert: deque() for expert in sorted(set(routes))}
    for token, expert in enumerate(routes):
        queues[expert].append(token)
    left = len(routes)
    while left:
        batch: Batch = []
        size = min(budget, left)
        while len(batch) < size:
            longest = max(queues.values(), key=len)
            batch += [longest.popleft() for _ in range(min(len(longest), size - len(batch)))]
        left -= size
        yield batch


def first_come(routes: Sequence[int], budget: int) -> Iterator[Batch]:
    """Batches of `budget` tokens in the order in which they wait."""
    for start in range(0, len(routes), budget):
        yield list(range(start, min(start + budget, len(routes))))


def experts_per_batch(batches: Sequence[Batch], routes: Sequence[int]) -> float:
    """Mean number of distinct experts that a batch needs."""
    return sum(len({routes[token] for token in batch}) for batch in batches) / len(batches)
