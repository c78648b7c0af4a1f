"""The memory budgets of a run that takes its experts from a disk, shown before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from hobbit.report.tables import budget_table

if TYPE_CHECKING:
    from hobbit.assembly import Assembly


def show_budget(assembly: Assembly) -> None:
    """Say on stderr what device and host will hold; nothing where every expert was in memory already."""
    if assembly.host is not None:
        console = Console(stderr=True)
        console.print(budget_table([*assembly.plan.describe(), *assembly.host.describe()]))
