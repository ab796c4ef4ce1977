"""Pulling, as ``land --source NAME`` without paths shows it.

Belongs here: arguments, progress and the table of pulled files. Does not belong here: pulling (``stages.pulling``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich import box
from rich.table import Table

from ml_data_platform.cli import screen, tables
from ml_data_platform.cli.options import days_between, require_start
from ml_data_platform.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

    from ml_data_platform.landing.landing import LandedFile
    from ml_data_platform.stages.platform import Platform
    from ml_data_platform.stages.pull_report import PulledFile, PullReport

COLOURS = {"landed": "green", "new": "cyan", "changed": "cyan", "failed": "red", "rejected": "red", "unreadable": "red"}
SHOWN_UNCHANGED = 3


def pulled_days(first: dt.date | None, last: dt.date | None) -> list[dt.date] | None:
    """Return the days that ``--from`` and ``--to`` name; None where neither is given.

    Raises:
        BadParameter: Only one is given, or the range is empty or too long.
    """
    if first is None and last is None:
        return None
    if first is None or last is None:
        raise typer.BadParameter("name both days: the files of days between them are pulled", param_hint="--from, --to")
    return days_between(first, last)


def pull(
    settings: Settings,
    source: str,
    days: Sequence[dt.date] | None,
    *,
    is_dry_run: bool,
    is_historical: bool,
    as_json: bool,
) -> None:
    """Pull the files of days, and say what came of each.

    Raises:
        Exit: A file or a place could not be read, or too many rows of a file reach no day; the status is 1.
    """
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.pulling import pull_days
    from ml_data_platform.stages.unusable_rows import judge_landed

    if days:
        require_start(days[0], settings)
    platform, started = open_platform(settings), dt.datetime.now(dt.UTC)
    with screen.progress("pulling") as (bar, task):
        report = pull_days(
            platform,
            source,
            days,
            is_dry_run=is_dry_run,
            is_historical=is_historical,
            progress=lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )
    if report.landed:
        show_landed(settings, platform, (), [report], started)
    verdicts = judge_landed(platform).among(report.landed)
    if as_json:
        answer = _as_json(source, report, is_dry_run=is_dry_run)
        screen.print_json({**answer, "unusable_rows": verdicts.to_json()})
    else:
        _print_report(report, is_dry_run=is_dry_run)
        tables.print_verdicts(verdicts)
        tables.print_refused(verdicts.rejected_before(report.landed))
    if report.refused or verdicts.red:
        raise typer.Exit(1)


def show_landed(
    settings: Settings,
    platform: Platform,
    results: Sequence[LandedFile],
    pulled: Sequence[PullReport],
    started: dt.datetime,
) -> None:
    """Show in the UI what `land` took in: as a run of the job that does the same."""
    from ml_data_platform.defs.assets.landed_files import report_landed
    from ml_data_platform.defs.command_runs import history_of

    with history_of(settings) as instance:
        report_landed(instance, platform, results, pulled, command="land", started=started)


def _as_json(source: str, report: PullReport, *, is_dry_run: bool) -> dict[str, object]:
    return {
        **report.counts,
        "source": source,
        "dry_run": is_dry_run,
        "days": [
            {
                "day": seen.day.isoformat(),
                "address": seen.address,
                "is_empty": seen.is_empty,
                "failure": seen.failure,
            }
            for seen in report.days
        ],
        "pulled": [
            {
                "day": file.day.isoformat(),
                "name": file.name,
                "location": file.location,
                "size_bytes": file.size_bytes,
                "outcome": file.outcome,
                "reason": file.reason,
                "replaced": list(file.replaced),
                "rows": file.landed.record.rows if file.landed and file.landed.record else None,
                "sha256": file.landed.record.sha256 if file.landed and file.landed.record else None,
            }
            for file in report.files
        ],
        "refused": report.refused,
    }


def _print_report(report: PullReport, *, is_dry_run: bool) -> None:
    table = Table(box=box.SIMPLE, show_edge=False, padding=(0, 1), pad_edge=False, header_style="bold")
    for name, justify in (("day (UTC)", "left"), ("file", "left"), ("bytes", "right"), ("rows", "right")):
        table.add_column(
            name, justify="right" if justify == "right" else "left", no_wrap=name != "file", overflow="fold"
        )
    table.add_column("what happened", overflow="fold")
    for seen in report.days:
        day = seen.day.isoformat()
        files = [file for file in report.files if file.day == seen.day]
        if seen.failure:
            table.add_row(day, seen.address, "", "", screen.coloured(("failed", "red"), f": {seen.failure}"))
        elif not files:
            table.add_row(day, seen.address, "", "", "nothing there (yet)")
        unchanged = [file for file in files if file.outcome == "unchanged"]
        for file in files:
            if file.outcome != "unchanged" or len(unchanged) <= SHOWN_UNCHANGED:
                table.add_row(day, *_cells(file))
        if len(unchanged) > SHOWN_UNCHANGED:
            table.add_row(day, f"… {len(unchanged):,} files", "", "", "unchanged")
    screen.show(table)
    counts = report.counts
    if is_dry_run:
        due = counts.get("new_files", 0) + counts.get("changed_files", 0)
        screen.say(f"would fetch {screen.counted(due, 'file')}", tail="; nothing was fetched")
    elif counts.get("landed_files"):
        rows, days = screen.counted(counts["landed_rows"], "row"), screen.counted(counts["touched_days"], "day")
        landed = screen.counted(counts["landed_files"], "file")
        screen.say(f"landed {landed}", style="green", tail=f" with {rows} on {days}")
    else:
        screen.say("nothing to land", tail=": there is no new file")
    tables.print_refused(report.refused)


def _cells(file: PulledFile) -> tuple[str, str, str, Text]:
    record = file.landed.record if file.landed else None
    colour = COLOURS.get(file.outcome, "")
    size = f"{file.size_bytes:,}" if file.size_bytes is not None else "?"
    reason = f": {file.reason}" if file.reason else ""
    reason += f", replaces {', '.join(old[:12] for old in file.replaced)}" if file.replaced else ""
    return file.name, size, f"{record.rows:,}" if record else "", screen.coloured((file.outcome, colour), reason)
