"""Commands that build and look: ``backfill``, ``plan`` and ``status``.

Belongs here: their arguments and output. Does not belong here: building and planning.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from ml_data_platform.cli import screen
from ml_data_platform.cli.options import (
    FromOption,
    JsonOption,
    RootOption,
    SourcesOption,
    ToOption,
    days_of,
    settings_of,
)
from ml_data_platform.events.planning import Status
from ml_data_platform.settings import Settings

if TYPE_CHECKING:
    from ml_data_platform.defs.backfill import BackfillReport, Progress

LAYER_NAMES = ("events", "features", "training partitions")


def backfill(
    first: FromOption = None,
    last: ToOption = None,
    root: RootOption = None,
    sources: SourcesOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be built, and why.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build what is dirty, layer by layer, recorded in the same Dagster history as the UI's runs.

    Without a range: all days with landed rows. Stopped half-way, run it again: what is published is not built twice.
    The exit status is 1 when a day failed or is blocked; they are listed.
    """
    settings = settings_of(root, sources)
    if dry_run:
        _plan(settings, first, last, as_json=as_json)
        return
    report = run_backfill(settings, days_of(first, last, settings))
    if as_json:
        screen.print_json(_report_json(report))
    else:
        print_report(report)
    if not report.is_successful:
        raise typer.Exit(1)


def run_backfill(settings: Settings, days: list[dt.date] | None) -> BackfillReport:
    """Run a backfill in this process, with a progress bar."""
    from ml_data_platform.defs.backfill import backfill as run
    from ml_data_platform.defs.instance import open_instance
    from ml_data_platform.defs.location import build_definitions
    from ml_data_platform.defs.resources import PlatformResource
    from ml_data_platform.defs.runs import reap_orphans
    from ml_data_platform.events.planning import expected_days
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.state import read_state

    platform = open_platform(settings)
    platform.store.recover()
    with open_instance(settings) as instance, screen.progress("planning") as (bar, task):
        PlatformResource.of(settings).bind(instance)
        for run_id in reap_orphans(instance):
            screen.err.print(f"a run whose process is gone was reported as failed: {run_id}")

        def on_progress(step: Progress) -> None:
            name = f"{LAYER_NAMES[step.layer]} of {step.run.day}"
            bar.update(task, description=name, completed=step.done, total=step.total)

        wanted = expected_days(read_state(platform)) if days is None else days
        return run(build_definitions(settings), instance, platform, wanted, on_progress)


def print_report(report: BackfillReport) -> None:
    """Print what a backfill did, and list what failed and what is blocked."""
    if not report.runs and report.is_successful:
        screen.out.print("[green]nothing to do[/]: every partition is built from what it should be built from")
    elif report.runs:
        days = {day for _, day in report.built}
        screen.out.print(f"{report.runs} runs, {len(report.built)} partitions built on {len(days)} days")
    if report.not_complete:
        screen.out.print(f"not over yet and nothing landed: {', '.join(str(day) for day in report.not_complete)}")
    for failure in report.failed:
        screen.out.print(f"[red]failed[/] {failure.asset} of {failure.day}: ", end="")
        screen.out.print(failure.why, markup=False, highlight=False)
    for decision in report.blocked:
        screen.out.print(f"[red]blocked[/] {decision.asset} of {decision.day}: {'; '.join(decision.reasons)}")


def _report_json(report: BackfillReport) -> dict[str, object]:
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
    """Say what would be built, and why; the sensor asks the same question."""
    _plan(settings_of(root, sources), first, last, as_json=as_json)


def _plan(settings: Settings, first: dt.date | None, last: dt.date | None, *, as_json: bool) -> None:
    from ml_data_platform.events.planning import expected_days
    from ml_data_platform.events.planning import plan as decide_all
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.state import read_state
    from ml_data_platform.stages.summary import decision_json

    state = read_state(open_platform(settings))
    days = days_of(first, last, settings)
    decisions = decide_all(state, expected_days(state) if days is None else days, is_requested=days is not None)
    found = [each for each in decisions if each.status in {Status.DIRTY, Status.WAITING, Status.BLOCKED}]
    if as_json:
        screen.print_json([decision_json(each) for each in found])
    elif found:
        screen.print_decisions(found)
    else:
        screen.out.print("[green]nothing to do[/]: every partition is built from what it should be built from")


def status(
    first: FromOption = None,
    last: ToOption = None,
    root: RootOption = None,
    sources: SourcesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show per day the rows of every stage, the checks, and whether anything is to be done, and why."""
    settings = settings_of(root, sources)
    show_status(settings, days_of(first, last, settings), as_json=as_json)


def show_status(settings: Settings, days: list[dt.date] | None, *, as_json: bool = False) -> None:
    """Print the status of a root."""
    from ml_data_platform.defs.history import check_counts
    from ml_data_platform.defs.instance import open_instance
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.summary import summarise_days, summarise_landing

    platform = open_platform(settings)
    landing, summaries = summarise_landing(platform), summarise_days(platform, days)
    with open_instance(settings) as instance:
        checks = check_counts(instance)
    if as_json:
        rows = []
        for each in summaries:
            counts = checks.get(each.day.isoformat())
            found = {"passed": counts.passed, "failed": counts.failed, "warned": counts.warned} if counts else None
            rows.append({**each.to_json(), "checks": found})
        screen.print_json({"root": str(settings.root), "landing": landing.to_json(), "days": rows})
        return
    screen.print_landing(landing)
    screen.print_days(summaries, checks)
    reasons = [each for summary in summaries for each in summary.decisions if each.status in screen.COLOURS]
    open_ones = [each for each in reasons if each.status is not Status.CLEAN]
    if open_ones:
        screen.print_decisions(open_ones, limit=20)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backfill)
    app.command()(plan)
    app.command()(status)
