"""What held and what it cost, as tables; the lanes over real logs share it.

Belongs here: collecting verdicts and printing. Does not belong here: any verification.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.measuring import Cost

out = Console(width=None if sys.stdout.isatty() else 160)


class Verdicts:
    """What held and what did not."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, bool, str]] = []

    def judge(self, name: str, verify: Callable[[], str]) -> None:
        """Run one verification and note what it found."""
        try:
            self.rows.append((name, True, verify()))
        except (AssertionError, OSError, KeyError) as error:
            self.rows.append((name, False, f"{type(error).__name__}: {error}"[:500]))

    @property
    def all_hold(self) -> bool:
        """Whether everything held."""
        return all(holds for _, holds, _ in self.rows)


def print_verdicts(verdicts: Verdicts) -> None:
    """Print what held, and what was found."""
    table = Table(title="What holds", header_style="bold")
    for name in ("property", "holds", "found"):
        table.add_column(name, overflow="fold")
    for name, holds, found in verdicts.rows:
        table.add_row(name, "[green]yes[/]" if holds else "[red]NO[/]", found)
    out.print(table)


def print_costs(costs: Sequence[Cost]) -> None:
    """Print what each command cost."""
    table = Table(title="What it costs", header_style="bold")
    table.add_column("command")
    for name in ("wall s", "CPU s", "peak MiB"):
        table.add_column(name, justify="right")
    for cost in costs:
        table.add_row(cost.name, f"{cost.wall_seconds:.1f}", f"{cost.cpu_seconds:.1f}", f"{cost.peak_mib:,.0f}")
    out.print(table)
