"""The command ``replay``: let in what was quarantined.

Belongs here: its arguments, progress and output. Does not belong here: replaying (``defs.replay``).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from ml_data_platform.cli import screen, tables
from ml_data_platform.cli.building import LAYER_NAMES, report_json
from ml_data_platform.cli.options import FromOption, JsonOption, RootOption, SourcesOption, ToOption
from ml_data_platform.cli.quarantine import SourceOption, described, wanted_part
from ml_data_platform.settings import Settings

if TYPE_CHECKING:
    from ml_data_platform.defs.backfill import Progress
    from ml_data_platform.defs.replay import ReplayReport
    from ml_data_platform.landing.landing import LandedFile
    from ml_data_platform.stages.quarantine import Wanted
    from ml_data_platform.stages.replay import ReplayPlan

SHOWN_DAYS = 7


def replay(
    reason: Annotated[
        str,
        typer.Option(
            "--reason",
            metavar="REASON",
            help="What the rows are quarantined for, as `quarantine list` names it; too_late lets late rows in.",
        ),
    ],
    source: SourceOption = "",
    first: FromOption = None,
    last: ToOption = None,
    root: RootOption = None,
    sources: SourcesOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done; changes nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let in what was quarantined, once its contract, rule or tolerance has changed, or because it came too late.

    Files of a changed contract are read again, too-late rows are admitted (the ledger keeps that), and exactly the days
    that hold such rows are built, as far as anything about them changed. A second time does nothing.
    """
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.replay import prepare_replay

    settings, wanted = wanted_part(root, sources, reason, source, first, last)
    if dry_run:
        found = prepare_replay(open_platform(settings), wanted)
        if as_json:
            screen.print_json({**_plan_json(found), "is_dry_run": True})
        else:
            _print_plan(found, wanted)
        return
    report = _run(settings, wanted)
    if as_json:
        screen.print_json(_report_json(report))
    elif report.plan.is_empty and not report.built.runs:
        _print_plan(report.plan, wanted)
    else:
        _print_report(report)
    if not report.is_successful:
        raise typer.Exit(1)


def _run(settings: Settings, wanted: Wanted) -> ReplayReport:
    from ml_data_platform.defs.command_runs import history_of, record_command
    from ml_data_platform.defs.location import build_definitions
    from ml_data_platform.defs.replay import JOB
    from ml_data_platform.defs.replay import replay as run
    from ml_data_platform.defs.runs import reap_orphans
    from ml_data_platform.stages.platform import open_platform

    platform, started = open_platform(settings), dt.datetime.now(dt.UTC)
    platform.store.recover()
    with history_of(settings) as instance, screen.progress("looking") as (bar, task):
        reap_orphans(instance)

        def on_file(result: LandedFile) -> None:
            bar.update(task, description=f"reading {result.name} again", advance=1)

        def on_progress(step: Progress) -> None:
            name = f"{LAYER_NAMES[step.layer]} of {step.run.day}"
            bar.update(task, description=name, completed=step.done, total=step.total)

        report = run(
            build_definitions(settings),
            instance,
            platform,
            wanted,
            why="ml-data-platform replay",
            on_file=on_file,
            on_progress=on_progress,
        )
        failure = "" if report.is_successful else "not all of its days are built; see their runs"
        record_command(instance, JOB, {}, command="replay", started=started, failure=failure)
        return report


def _print_plan(found: ReplayPlan, wanted: Wanted) -> None:
    rows = screen.counted(found.rows, "row")
    if found.is_empty:
        screen.say(
            "nothing to do", style="green", tail=f"{described(wanted)}: {_why_nothing(found, rows, wanted.reason)}"
        )
        return
    screen.say(f"{rows} quarantined{described(wanted)}; would be done:")
    if found.outdated:
        names = _listed([f"{record.source}/{record.name}" for record in found.outdated])
        screen.say(f"  read {screen.counted(len(found.outdated), 'file')} again under the changed contract: {names}")
    if found.admissions:
        admitted = screen.counted(sum(each.rows for each in found.admissions), "row")
        screen.say(f"  admit {admitted} on {_listed(sorted({each.day for each in found.admissions}))}")
    if found.dirty_days:
        screen.say(f"  build {_listed_days(found.dirty_days)}")
    if found.unchanged_days:
        screen.say(f"  leave {_listed_days(found.unchanged_days)}: nothing changed since their rows were judged")


def _why_nothing(found: ReplayPlan, rows: str, reason: str) -> str:
    if not found.rows:
        return "nothing is quarantined for it"
    if reason == "retracted":
        return f"{rows} are; `ml-data-platform reinstate FILE --source NAME` brings a file back"
    return (
        f"{rows} are, and neither their contract, nor the rules, nor the tolerances changed since; change what keeps"
        " them out, then replay"
    )


def _print_report(report: ReplayReport) -> None:
    applied = report.applied
    if applied.files_read_again:
        screen.say(f"{screen.counted(applied.files_read_again, 'file')} read again under the changed contract")
    if applied.rows_admitted:
        screen.say(f"{screen.counted(applied.rows_admitted, 'row')} admitted that came too late")
    tables.print_report(report.built)
    screen.say(f"quarantined before: {screen.counted(report.plan.rows, 'row')}, after: {report.rows_after:,}")


def _plan_json(found: ReplayPlan) -> dict[str, object]:
    return {
        "rows_before": found.rows,
        "files_of_an_older_contract": [f"{record.source}/{record.name}" for record in found.outdated],
        "admissions": [
            {"source": each.source, "day": each.day, "file": each.name, "sha256": each.sha256, "rows": each.rows}
            for each in found.admissions
        ],
        "days_to_build": [day.isoformat() for day in found.dirty_days],
        "unchanged_days": [day.isoformat() for day in found.unchanged_days],
        "nothing_to_do": found.is_empty,
    }


def _report_json(report: ReplayReport) -> dict[str, object]:
    return {
        **_plan_json(report.plan),
        "is_dry_run": False,
        "files_read_again": report.applied.files_read_again,
        "rows_admitted": report.applied.rows_admitted,
        "days": [day.isoformat() for day in report.applied.days],
        "rows_after": report.rows_after,
        "backfill": report_json(report.built),
    }


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN_DAYS]) + (f" and {len(names) - SHOWN_DAYS} more" if len(names) > SHOWN_DAYS else "")


def _listed_days(days: tuple[dt.date, ...]) -> str:
    return _listed([day.isoformat() for day in days])
