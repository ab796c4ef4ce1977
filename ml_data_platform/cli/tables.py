"""Tables and lists of the answer: days, decisions, landing and backfills.

Belongs here: laying out what was found, so that it fits a terminal. Does not belong here: finding it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from ml_data_platform.cli.screen import coloured, counted, fits, say, show
from ml_data_platform.events.planning import Decision, Status

if TYPE_CHECKING:
    from rich.text import Text

    from ml_data_platform.defs.backfill import BackfillReport
    from ml_data_platform.defs.history import CheckCounts
    from ml_data_platform.stages.day_lateness import DayLateness
    from ml_data_platform.stages.summary import DaySummary, LandingSummary
    from ml_data_platform.stages.unusable_rows import LandedVerdicts

CHECK = "landed_rows_are_usable"
COLOURS = {Status.CLEAN: "green", Status.DIRTY: "yellow", Status.WAITING: "yellow", Status.BLOCKED: "red"}
NOTHING_TO_DO = "every partition is built from what it should be built from"
SHOWN_FILES = 5
SHOWN_CHECKS = 20
COUNTS: Mapping[str, Callable[[DaySummary], int | None]] = {
    "landed": lambda day: day.landed_rows,
    "late": lambda day: day.lateness.late_rows,
    "too late": lambda day: day.lateness.too_late_rows,
    "valid": lambda day: day.rows["validated_events"],
    "duplicate": lambda day: day.duplicate_rows,
    "rejected": lambda day: day.rejected_rows,
    "sessions": lambda day: day.rows["session_summaries"],
    "mature": lambda day: day.rows["date_partitions"],
}
"""Column to the rows that it counts. Landed = valid + duplicate + rejected, and late ones are among the landed."""
DELAYS = "delay p50/p99/max"
_LATENESS = (DELAYS, "day", "late", "too late")
DISPENSABLE: Sequence[tuple[str, ...]] = (
    (),
    _LATENESS[:1],
    _LATENESS[:2],
    *((*_LATENESS, *more) for more in ((), ("sessions",), ("sessions", "gen"), ("sessions", "gen", "label"))),
)
"""Columns that are left out where the terminal is too narrow for all."""


def print_days(days: Sequence[DaySummary], checks: Mapping[str, CheckCounts]) -> None:
    """Print one line per day and a line of totals, then the checks that failed."""
    for left_out in DISPENSABLE:
        table = _day_table(days, checks, left_out)
        if fits(table):
            break
    show(table)
    if left_out:
        say(f"left out for lack of columns: {', '.join(left_out)}; a wider terminal or --json shows all", style="dim")
    failed = [(day.day.isoformat(), checks.get(day.day.isoformat())) for day in days]
    lines = [
        (day, "red", "failed", f"{name}: {found.found[name]}" if name in found.found else name)
        for day, found in failed
        if found
        for name in found.failed
    ]
    lines += [(day, "yellow", "warned", name) for day, found in failed if found for name in found.warned]
    for day, colour, word, name in sorted(lines)[:SHOWN_CHECKS]:
        say(f"{word} ", style=colour, tail=f"{day} {name}")
    if len(lines) > SHOWN_CHECKS:
        say(f"… and {counted(len(lines) - SHOWN_CHECKS, 'check')} more; --json prints all", style="dim")
    _print_missing(days, checks)


def _print_missing(days: Sequence[DaySummary], checks: Mapping[str, CheckCounts]) -> None:
    """Say of how many checks of clean partitions no result is known; what is to be built is checked with that."""
    lacking = []
    for day in days:
        clean = {each.asset for each in day.decisions if each.status is Status.CLEAN}
        counts = checks.get(day.day.isoformat())
        names = [name for name in counts.missing if name.partition(":")[0] in clean] if counts else []
        if names:
            tables = ", ".join(sorted({name.partition(":")[0] for name in names}))
            lacking.append(f"{day.day} {counted(len(names), 'check')} of {tables}")
    for line in lacking[:SHOWN_CHECKS]:
        say("not evaluated ", style="yellow", tail=line)
    if len(lacking) > SHOWN_CHECKS:
        say(f"… and {counted(len(lacking) - SHOWN_CHECKS, 'day')} more; --json prints all", style="dim")
    if lacking:
        say(
            "no result of these is known since the tables were built: `ml-data-platform backfill` records what Dagster's"
            " history holds of them; the job `rebuild` evaluates the rest",
            style="dim",
        )


def _day_table(days: Sequence[DaySummary], checks: Mapping[str, CheckCounts], left_out: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, padding=0, pad_edge=False, header_style="bold", show_footer=True)
    totals = {name: sum(count(day) or 0 for day in days) for name, count in COUNTS.items()}
    table.add_column("day (UTC)", footer=counted(len(days), "day"), no_wrap=True)
    shown = [name for name in (*COUNTS, "label", DELAYS, "day", "checks", "gen") if name not in left_out]
    for name in shown:
        footer = f"{totals[name]:,}" if name in totals else ""
        table.add_column(name, justify="right", footer=footer, no_wrap=True)
    table.add_column("state", no_wrap=True)
    for day in days:
        cells: dict[str, Text | str] = {name: _number(count(day)) for name, count in COUNTS.items()}
        cells["label"] = f"{day.label_rate:.2%}" if day.label_rate is not None else "-"
        cells["checks"] = _checks(checks.get(day.day.isoformat()))
        cells["day"] = day.lateness.state.value if day.lateness.state else "-"
        cells[DELAYS] = "/".join(_duration(seconds) for seconds in day.lateness.seconds.values()) or "-"
        cells["gen"] = str(day.generations["validated_events"] or "-")
        colour = COLOURS.get(day.status, "dim")
        table.add_row(day.day.isoformat(), *(cells[name] for name in shown), coloured((day.status.value, colour)))
    return table


def _number(value: int | None) -> str:
    return f"{value:,}" if value is not None else "-"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f}{unit}"
    return f"{seconds:.0f}s"


def _checks(counts: CheckCounts | None) -> Text | str:
    if counts is None or not counts.expected:
        return "-"
    colour = "red" if counts.failed else "yellow" if counts.warned or counts.missing else "green"
    return coloured((f"{counts.passed}/{counts.expected}", colour))


def print_landing(landing: LandingSummary) -> None:
    """Print what was landed, by source and outcome, and the rows without a usable day."""
    for source, counts in landing.files.items():
        files = ", ".join(f"{counted(count, 'file')} {status}" for status, count in sorted(counts.items()))
        strategy, watermark = landing.watermarks.get(source, ("", None))
        if watermark is not None:
            files += f"; events are there up to {watermark.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC ({strategy})"
        elif strategy:
            files += f"; no watermark yet: no file says a time ({strategy})"
        say(source, style="bold", tail=f": {files}")
    print_verdicts(landing.verdicts)
    if landing.undated:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in landing.undated.items())
        say(f"rows without a usable day, kept in data/undated_rows: {reasons}")
    if landing.too_late_rows:
        rows = counted(landing.too_late_rows, "row")
        say("too late ", style="yellow", tail=f"{rows} of frozen days, kept in data/too_late_rows until replayed")
    for line in landing.retracted[:SHOWN_FILES]:
        say("retracted ", style="yellow", tail=line.replace(", retracted", ",", 1))
    if len(landing.retracted) > SHOWN_FILES:
        say(f"… and {counted(len(landing.retracted) - SHOWN_FILES, 'file')} more; --json prints all", style="dim")
    print_contract_notices(landing.contract_notices)
    for fault in landing.key_faults:
        say("key ", style="red", tail=fault)
    print_notices(landing.notices)
    print_refused(landing.refused)


def print_verdicts(verdicts: LandedVerdicts) -> None:
    """Print the sources of which files have too many rows that reach no day, and the worst of these files."""
    for source in verdicts.sources:
        if source.red_files or source.warned_files:
            files = f"{counted(source.red_files, 'file')} red, {counted(source.warned_files, 'file')} warned of"
            rows = f"{source.unusable_rows:,} of {counted(source.rows, 'row')} ({source.share:.2%}) reach no day"
            say(source.source, style="bold", tail=f": {rows}; {files}")
    shown = [(each, "failed", "red") for each in verdicts.red if each.refusal is None]
    shown += [(each, "warned", "yellow") for each in verdicts.warned]
    for each, word, colour in shown[:SHOWN_FILES]:
        say(f"{word} ", style=colour, tail=f"{CHECK} {each}")
    if len(shown) > SHOWN_FILES:
        say(f"… and {counted(len(shown) - SHOWN_FILES, 'file')} more; --json prints all", style="dim")


def print_late(lateness: Mapping[dt.date, DayLateness], days: Iterable[dt.date]) -> None:
    """Say of which days rows are kept apart because they came too late: building the days does not bring them in."""
    found = [(day, lateness[day]) for day in days if day in lateness and lateness[day].too_late_rows]
    for day, of_day in found[:SHOWN_FILES]:
        tail = f"{day}: {counted(of_day.too_late_rows, 'row')}, kept in data/too_late_rows until replayed"
        say("too late ", style="yellow", tail=tail)
    if len(found) > SHOWN_FILES:
        say(f"… and {counted(len(found) - SHOWN_FILES, 'day')} more; status --json has all", style="dim")


def print_unusual_fields(found: Mapping[dt.date, Sequence[str]]) -> None:
    """Print which fields are emptied or of another kind than on the days before, the latest days first."""
    lines = [f"{day}: {line}" for day, of_day in sorted(found.items(), reverse=True) for line in of_day]
    for line in lines[:SHOWN_FILES]:
        say("unusual field ", style="yellow", tail=line)
    if len(lines) > SHOWN_FILES:
        say(f"… and {counted(len(lines) - SHOWN_FILES, 'line')} more; status --json has all", style="dim")


def print_contract_notices(notices: Sequence[str]) -> None:
    """Print which sources stand still for want of a contract."""
    for notice in notices:
        say("no contract ", style="red", tail=notice)


def print_notices(notices: Sequence[str]) -> None:
    """Print which sources are masked in another way than their contracts say."""
    for notice in notices:
        say("masking ", style="yellow", tail=notice)


def print_refused(refused: Sequence[str]) -> None:
    """Print the files that were not landed, with the reasons."""
    for line in refused[:SHOWN_FILES]:
        say("not landed ", style="red", tail=line)
    if len(refused) > SHOWN_FILES:
        say(f"… and {counted(len(refused) - SHOWN_FILES, 'file')} more; --json prints all", style="dim")


def print_decisions(decisions: Sequence[Decision], limit: int = 40) -> None:
    """Print what would be built, and why; assets of a day with the same reasons share a line."""
    table = Table(box=box.SIMPLE, show_edge=False, padding=0, pad_edge=False, header_style="bold")
    for name in ("day (UTC)", "assets", "status", "why"):
        table.add_column(name, no_wrap=name in {"day (UTC)", "status"})
    grouped: dict[tuple[str, Status, tuple[str, ...]], list[str]] = {}
    for decision in decisions:
        grouped.setdefault((decision.day.isoformat(), decision.status, decision.reasons), []).append(decision.asset)
    for (day, status, reasons), assets in list(grouped.items())[:limit]:
        more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        colour = COLOURS.get(status, "dim")
        table.add_row(day, ", ".join(assets), coloured((status.value, colour)), "; ".join(reasons[:3]) + more)
    show(table)
    if len(grouped) > limit:
        say(f"… and {counted(len(grouped) - limit, 'line')} more; --json prints all", style="dim")


def print_refused_days(days: Iterable[dt.date]) -> None:
    """Say where the rows of refused days are, and what lets the days through."""
    refused = sorted({day.isoformat() for day in days})
    if refused:
        shown = f"{', '.join(refused[:3])}{' …' if len(refused) > 3 else ''}"
        say(f"Refused rows of {shown}, with the names of the rules they broke: data/quarantined_events/dt=DAY.")
        say("A day is tried again when its files, its contract or its `tolerances` in platform.yaml change.")


def refused_days(decisions: Iterable[Decision]) -> set[dt.date]:
    """Return the days whose refusal blocks any of these partitions."""
    return {day for decision in decisions if decision.by_refusal for day in decision.blocked_by}


def print_report(report: BackfillReport) -> None:
    """Print what a backfill did, and list what failed and what is blocked."""
    if not report.runs and report.is_successful:
        say("nothing to do", style="green", tail=f": {NOTHING_TO_DO}")
    elif report.runs:
        days = {day for _, day in report.built}
        built = f"{counted(len(report.built), 'partition')} built on {counted(len(days), 'day')}"
        say(f"{counted(report.runs, 'run')}: {built}")
    if report.not_complete:
        named = ", ".join(str(day) for day in report.not_complete[:7])
        more = f" and {len(report.not_complete) - 7} more" if len(report.not_complete) > 7 else ""
        say(f"left out, because the day is not over: {named}{more}")
    _print_grouped("failed", ((each.day.isoformat(), each.why, each.asset) for each in report.failed))
    _print_grouped("blocked", ((each.day.isoformat(), "; ".join(each.reasons), each.asset) for each in report.blocked))
    refused = {each.day for each in report.failed if each.is_refused and each.asset == "validated_events"}
    print_refused_days(refused | refused_days(report.blocked))


def _print_grouped(word: str, entries: Iterable[tuple[str, str, str]]) -> None:
    grouped: dict[tuple[str, str], list[str]] = {}
    for day, why, asset in entries:
        grouped.setdefault((day, why), []).append(asset)
    for (day, why), assets in grouped.items():
        say(f"{word} ", style="red", tail=f"{day} {', '.join(assets)}: {why}")
