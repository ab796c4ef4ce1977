"""Commands that build and look: ``backfill``, ``plan`` and ``status``.

Belongs here: their arguments and output. Does not belong here: building and planning.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ml_data_platform.cli import screen, tables
from ml_data_platform.cli.options import (
    Days,
    FromOption,
    JsonOption,
    RootOption,
    SourcesOption,
    ToOption,
    root_and_days,
)
from ml_data_platform.events.planning import Status
from ml_data_platform.settings import Settings

if TYPE_CHECKING:
    from ml_data_platform.defs.backfill import BackfillReport, Progress
    from ml_data_platform.defs.history import CheckCounts
    from ml_data_platform.events.planning import Decision
    from ml_data_platform.stages.summary import DaySummary, LandingSummary

LAYER_NAMES = ("events", "features", "training partitions")
ALL_DAYS = Days(None, None)
OPEN = frozenset({Status.DIRTY, Status.WAITING, Status.BLOCKED})


def backfill(
    first: FromOption = None,
    last: ToOption = None,
    root: RootOption = None,
    sources: SourcesOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be built, and why.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build what is dirty, layer by layer, recorded in the same Dagster history as the UI's runs.

    Without a range: all days with landed rows. With --from and --to: these days, also those without rows. Stopped
    half-way, run it again: what is published is not built twice.
    """
    settings, days = root_and_days(root, sources, first, last)
    if dry_run:
        show_plan(settings, days, as_json=as_json)
        return
    report = run_backfill(settings, days)
    waiting = _note_contracts(settings)
    if as_json:
        screen.print_json({**report_json(report), "contract_notices": list(waiting)})
    elif not report.runs and not days.is_range and not _has_days(settings):
        say_nothing_landed(settings)
    else:
        tables.print_report(report)
    if not report.is_successful:
        raise typer.Exit(1)


def _note_contracts(settings: Settings) -> tuple[str, ...]:
    """Say beside the answer which sources stand still for want of a contract, and of lost keys; returns the former."""
    from ml_data_platform.stages.contract_notices import contract_notices
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.state import current_records

    platform = open_platform(settings)
    lines = contract_notices(platform.contracts, current_records(platform))
    for line in (*lines, *platform.keys.faults()):
        screen.note(line)
    return lines


def _has_days(settings: Settings) -> bool:
    from ml_data_platform.events.planning import expected_days
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.state import read_state

    return bool(expected_days(read_state(open_platform(settings))))


def run_backfill(settings: Settings, days: Days, only: Sequence[dt.date] | None = None) -> BackfillReport:
    """Run a backfill in this process, with a progress bar.

    Args:
        settings: The settings of the root.
        days: Which days.
        only: These days in place of those.
    """
    from ml_data_platform.defs.antlr import antlr_notice, installed_antlr
    from ml_data_platform.defs.backfill import backfill as run
    from ml_data_platform.defs.field_checks import report_unusual_fields
    from ml_data_platform.defs.instance import open_instance
    from ml_data_platform.defs.late_rows import report_too_late_rows
    from ml_data_platform.defs.location import build_definitions
    from ml_data_platform.defs.resources import PlatformResource
    from ml_data_platform.defs.runs import reap_orphans
    from ml_data_platform.defs.said_again import say_again
    from ml_data_platform.defs.unusable_rows import report_unusable_rows
    from ml_data_platform.events.planning import expected_days
    from ml_data_platform.stages.landed_files import describe, readmit_future
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.state import read_state

    notice = antlr_notice(installed_antlr())
    if notice:
        screen.note(notice)
    platform = open_platform(settings)
    platform.store.recover()
    for again in readmit_future(platform):
        screen.note(f"read again, since rows of it are no longer in the future: {describe(again)}")
    with open_instance(settings) as instance, screen.progress("planning") as (bar, task):
        PlatformResource.of(settings).bind(instance)
        for run_id in reap_orphans(instance):
            screen.note(f"a run whose process is gone was reported as failed: {run_id}")

        report_too_late_rows(instance, platform)
        report_unusable_rows(instance, platform)

        def on_progress(step: Progress) -> None:
            name = f"{LAYER_NAMES[step.layer]} of {step.run.day}"
            bar.update(task, description=name, completed=step.done, total=step.total)

        wanted = days.choose(expected_days(read_state(platform))) if only is None else list(only)
        report = run(build_definitions(settings), instance, platform, wanted, on_progress)
        report_unusual_fields(instance, platform)
        say_again(instance, platform, wanted)
        return report


def report_json(report: BackfillReport) -> dict[str, object]:
    """Return what a backfill did as plain values."""
    from ml_data_platform.stages.summary import decision_json

    return {
        "runs": report.runs,
        "built": [{"asset": asset, "day": day.isoformat()} for asset, day in report.built],
        "failed": [
            {"asset": each.asset, "day": each.day.isoformat(), "why": each.why, "run_id": each.run_id}
            for each in report.failed
        ],
        "blocked": [decision_json(each) for each in report.blocked],
        "not_complete": [day.isoformat() for day in report.not_complete],
    }


def plan(
    first: FromOption = None,
    last: ToOption = None,
    root: RootOption = None,
    sources: SourcesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what would be built, and why; late_data_sensor asks the same question. Builds nothing."""
    settings, days = root_and_days(root, sources, first, last)
    show_plan(settings, days, as_json=as_json)


def show_plan(settings: Settings, days: Days, *, as_json: bool = False) -> None:
    """Print what would be built; ends with 1 where a day lost the record of what it was built from."""
    from ml_data_platform.events.planning import expected_days
    from ml_data_platform.events.planning import plan as decide_all
    from ml_data_platform.stages.day_lateness import NOTHING_LANDED, lateness_of_days
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.state import current_records, read_state
    from ml_data_platform.stages.summary import decision_json, lateness_json

    _note_contracts(settings)
    platform = open_platform(settings)
    records = current_records(platform)
    state = read_state(platform, records)
    known = expected_days(state)
    decisions = decide_all(state, days.choose(known), is_requested=days.is_range)
    found = [each for each in decisions if each.status in OPEN]
    lateness = lateness_of_days(records, state.watermarks, platform.contracts)
    if as_json:
        screen.print_json(
            [{**decision_json(each), **lateness_json(lateness.get(each.day, NOTHING_LANDED))} for each in found]
        )
    else:
        _print_plan(settings, found, has_days=bool(known) or days.is_range)
        tables.print_late(lateness, days.choose(sorted(lateness)))
    if state.lost.keys() & set(days.choose(known)):
        raise typer.Exit(1)


def _print_plan(settings: Settings, found: list[Decision], *, has_days: bool) -> None:
    if found:
        of_days = screen.counted(len({each.day for each in found}), "day")
        screen.say(f"{screen.counted(len(found), 'partition')} on {of_days} to be built, or blocked")
        tables.print_decisions(found)
        tables.print_refused_days(tables.refused_days(found))
    elif has_days:
        screen.say("nothing to do", style="green", tail=f": {tables.NOTHING_TO_DO}")
    else:
        say_nothing_landed(settings)


def say_nothing_landed(settings: Settings) -> None:
    """Say what comes first in an empty root."""
    screen.say(
        f"nothing is landed in {settings.root} yet: drop files into {settings.landing}/<source>/, then run "
        "`ml-data-platform land`"
    )


def status(
    first: FromOption = None,
    last: ToOption = None,
    root: RootOption = None,
    sources: SourcesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show per day the rows of every stage, the checks, and whether anything is to be done, and why.

    Checks are counted as passed of those that the day should have. One without a result is named, and is not green; it
    is no reason for the exit status either, as nothing is published that its blocking checks did not pass.

    Exits with 1 while one of the days is refused by a blocking check, or blocked; and while a landed file is red: it has
    more rows that reach no day than its contract tolerates; and while a secret key is lost. What a backfill would build is no reason.
    """
    settings, days = root_and_days(root, sources, first, last)
    if not show_status(settings, days, as_json=as_json):
        raise typer.Exit(1)


def show_status(settings: Settings, days: Days = ALL_DAYS, *, as_json: bool = False) -> bool:
    """Print the status of a root.

    Returns:
        Whether no landed file is red, every source has its contract, and none of the days is refused or blocked.
    """
    from ml_data_platform.defs.field_checks import KEY, unusual_fields_now
    from ml_data_platform.defs.history import check_counts
    from ml_data_platform.defs.instance import open_to_read
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.stored_checks import stored_checks_of_days
    from ml_data_platform.stages.summary import known_days, summarise_days, summarise_landing

    platform = open_platform(settings)
    landing = summarise_landing(platform)
    chosen: list[dt.date] = days.choose(known_days(platform))
    summaries = summarise_days(platform, chosen)
    with open_to_read(settings) as instance:
        unusual = unusual_fields_now(platform)
        checks = check_counts(
            instance,
            {KEY: {day.isoformat(): not lines for day, lines in unusual.items()}},
            {each.day.isoformat(): each.expected_tables for each in summaries},
            stored_checks_of_days(platform, chosen),
        )
    is_well = _is_well(landing) and not any(_is_held_up(each, checks.get(each.day.isoformat())) for each in summaries)
    if as_json:
        rows = []
        for each in summaries:
            counts = checks.get(each.day.isoformat())
            found = counts.to_json() if counts else None
            lines = list(unusual.get(each.day, ()))
            rows.append({**each.to_json(), "checks": found, "unusual_fields": lines})
        screen.print_json({"root": str(settings.root), "landing": landing.to_json(), "days": rows})
        return is_well
    tables.print_landing(landing)
    if summaries:
        tables.print_days(summaries, checks)
        tables.print_unusual_fields({each.day: unusual.get(each.day, ()) for each in summaries})
    elif landing.files:
        screen.say("no landed row falls on these days")
    else:
        say_nothing_landed(settings)
    open_ones = [each for summary in summaries for each in summary.decisions if each.status in OPEN]
    if open_ones:
        screen.leave_line()
        screen.say("What differs from what it should be built from", style="bold")
        tables.print_decisions(open_ones, limit=20)
        tables.print_refused_days(tables.refused_days(open_ones))
    return is_well


def _is_well(landing: LandingSummary) -> bool:
    return not landing.contract_notices and not landing.key_faults and not landing.verdicts.red


def _is_held_up(summary: DaySummary, counts: CheckCounts | None) -> bool:
    """Tell whether something of a day is blocked, or is not published because a blocking check refused it last."""
    refused = {name.partition(":")[0] for name in counts.failed} if counts else set()
    return any(
        each.status is Status.BLOCKED or (each.status in OPEN and each.asset in refused) for each in summary.decisions
    )
