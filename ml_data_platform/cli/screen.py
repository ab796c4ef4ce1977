"""What a person sees: tables, progress and messages.

Belongs here: printing. Does not belong here: finding out what to print.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from ml_data_platform.events.planning import Decision, Status

if TYPE_CHECKING:
    from ml_data_platform.defs.history import CheckCounts
    from ml_data_platform.stages.summary import DaySummary, LandingSummary

PIPE_COLUMNS = 140
out = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
err = Console(stderr=True)
COLOURS = {Status.CLEAN: "green", Status.DIRTY: "yellow", Status.WAITING: "yellow", Status.BLOCKED: "red"}


def fail(message: str) -> None:
    """Print an error."""
    err.print("error:", style="bold red", end=" ")
    err.print(message, markup=False, highlight=False)


def print_json(value: object) -> None:
    """Print plain values for scripts: one JSON document, keys sorted."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True, default=str) + "\n")


@contextmanager
def progress(description: str) -> Iterator[tuple[Progress, TaskID]]:
    """Show a progress bar on standard error while the block runs; on a pipe only what is printed stays."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=not err.is_terminal,
    )
    with bar:
        yield bar, bar.add_task(description, total=None)


def print_days(days: Sequence[DaySummary], checks: Mapping[str, CheckCounts]) -> None:
    """Print one line per day and a line of totals."""
    table = Table(title="Days (UTC)", header_style="bold", show_footer=True)
    names = ("landed", "valid", "duplicate", "rejected", "sessions", "mature")
    totals = {
        "landed": sum(day.landed_rows for day in days),
        "valid": sum(day.rows["validated_events"] or 0 for day in days),
        "duplicate": sum(day.duplicate_rows or 0 for day in days),
        "rejected": sum(day.rejected_rows or 0 for day in days),
        "sessions": sum(day.rows["session_summaries"] or 0 for day in days),
        "mature": sum(day.rows["date_partitions"] or 0 for day in days),
    }
    table.add_column("day", footer=f"{len(days)} days")
    for name in names:
        table.add_column(name, justify="right", footer=f"{totals[name]:,}")
    for name in ("label rate", "checks", "gen", "state"):
        table.add_column(name, justify="left" if name == "state" else "right")
    for day in days:
        counts = checks.get(day.day.isoformat())
        rows = (
            day.landed_rows,
            day.rows["validated_events"],
            day.duplicate_rows,
            day.rejected_rows,
            day.rows["session_summaries"],
            day.rows["date_partitions"],
        )
        rate = f"{day.label_rate:.2%}" if day.label_rate is not None else "-"
        generation = day.generations["validated_events"]
        colour = COLOURS.get(day.status, "dim")
        table.add_row(
            day.day.isoformat(),
            *(f"{value:,}" if value is not None else "-" for value in rows),
            rate,
            _checks(counts),
            str(generation or "-"),
            f"[{colour}]{day.status.value}[/]",
        )
    out.print(table)


def _checks(counts: CheckCounts | None) -> str:
    if counts is None:
        return "-"
    parts = [f"[green]{counts.passed} ok[/]"]
    parts += [f"[yellow]{len(counts.warned)} warn[/]"] if counts.warned else []
    parts += [f"[red]{len(counts.failed)} failed[/]"] if counts.failed else []
    return " ".join(parts)


def print_landing(landing: LandingSummary) -> None:
    """Print what was landed, by source and outcome, and the rows without a usable day."""
    for source, counts in landing.files.items():
        files = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))
        out.print(f"[bold]{source}[/]: files {files}")
    if landing.undated:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in landing.undated.items())
        out.print(f"rows without a usable day, kept in data/undated_rows: {reasons}")
    if landing.failures:
        out.print(f"[yellow]{landing.failures} files could not be read[/]: see ledger/_failures")


def print_decisions(decisions: Sequence[Decision], limit: int = 40) -> None:
    """Print what would be built, and why."""
    table = Table(title="What differs from what it should be built from", header_style="bold")
    for name in ("day", "asset", "status", "why"):
        table.add_column(name)
    for decision in decisions[:limit]:
        shown = "; ".join(decision.reasons[:3]) + (
            f"; and {len(decision.reasons) - 3} more" * (len(decision.reasons) > 3)
        )
        colour = COLOURS.get(decision.status, "dim")
        table.add_row(decision.day.isoformat(), decision.asset, f"[{colour}]{decision.status.value}[/]", shown)
    out.print(table)
    if len(decisions) > limit:
        out.print(f"… and {len(decisions) - limit} more; --json prints all")
