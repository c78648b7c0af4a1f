"""What a broken contract raises."""

from __future__ import annotations


class ContractError(AssertionError):
    """A component that does not keep its seam's contract; says which rule, and how it was broken."""


def require(kept: bool, rule: str) -> None:
    """Raise ContractError with `rule` unless it is kept."""
    if not kept:
        raise ContractError(rule)
