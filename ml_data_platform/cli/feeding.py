"""Commands that bring events in: ``generate`` and ``land``.

Belongs here: their arguments and output. Does not belong here: generating and landing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_data_platform.cli import screen, tables
from ml_data_platform.cli.options import (
    MAX_DAYS,
    EventsOption,
    FromOption,
    JsonOption,
    RootOption,
    SeedOption,
    SourcesOption,
    StartOption,
    ToOption,
    day_argument,
    said_where_new,
    settings_of,
)
from ml_data_platform.cli.pulling import pull, pulled_days, show_landed
from ml_data_platform.settings import Settings

if TYPE_CHECKING:
    from ml_data_platform.events.contracts import Contracts
    from ml_data_platform.stages.decisions import Replacement
    from ml_data_platform.stages.landed_files import WaitingFiles

SHOWN_NAMES = 3


def generate(
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="Folder, e.g. the landing folder of a root.")],
    start: StartOption,
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, max=MAX_DAYS, help="Number of days.")],
    events_per_day: EventsOption = 2_000,
    seed: SeedOption = 7,
    poisoned_day: Annotated[
        dt.date | None,
        typer.Option(
            "--poisoned-day", metavar="DAY", parser=day_argument, help="A day with more broken rows than tolerated."
        ),
    ] = None,
    poisoned_share: Annotated[
        float | None,
        typer.Option(
            "--poisoned-share", metavar="SHARE", min=0, max=1, help="Broken rows of that day, 0 to 1. Default: 0.3"
        ),
    ] = None,
    no_row_truth: Annotated[
        bool, typer.Option("--no-row-truth", help="Write what was planted per day and file only, not per row.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write sample shop events: hourly files, v1 and v2 mixed, with late, duplicate and broken rows.

    Files go to OUT/demo_shop. What was planted is written to OUT/_planted, which the platform never reads.
    """
    from ml_data_platform.generator.generate import generate as write_events
    from ml_data_platform.generator.options import GeneratorOptions

    if poisoned_share is not None and poisoned_day is None:
        raise typer.BadParameter("name the day too, with --poisoned-day", param_hint="--poisoned-share")
    options = GeneratorOptions(row_truth=not no_row_truth, poisoned_day=poisoned_day)
    if poisoned_share is not None:
        options = replace(options, poisoned_share=poisoned_share)
    with screen.progress("generating events") as (bar, task):
        planted = write_events(
            out,
            start=start,
            days=days,
            events_per_day=events_per_day,
            seed=seed,
            options=options,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    files = screen.counted(len(planted.files), "file")
    if as_json:
        screen.print_json({"files": len(planted.files), "unchanged": planted.unchanged, "out": str(out)})
    elif planted.unchanged:
        screen.say(f"nothing to write: {files} of these arguments are in {out} already, byte for byte")
    else:
        screen.say(f"wrote {files} to {out}; what was planted is in {out / '_planted'}")


def land(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            exists=True,
            help="Files, or folders with all their files. Without any: what lies ready in the landing folder.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source", metavar="NAME", help="Whose files these are; without paths: whose files are pulled, see below."
        ),
    ] = None,
    replaces: Annotated[
        str | None,
        typer.Option(
            "--replaces",
            metavar="SHA",
            help="The SHA-256 (or its first 8 digits or more) of a landed file that this one corrects: its rows count "
            "no longer, and the days they were on are built again. Its bytes stay.",
        ),
    ] = None,
    historical: Annotated[
        bool,
        typer.Option("--historical", help="The files are of the past and not late: no row of theirs comes too late."),
    ] = False,
    first: FromOption = None,
    last: ToOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --source, without paths: show what would be pulled; fetch nothing.")
    ] = False,
    root: RootOption = None,
    sources: SourcesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take files in: keep their bytes, note them in the ledger, route their rows to event days.

    The same bytes again change nothing. A file that cannot be read is recorded with the reason, and the others go on.
    Exits with 1 where a file is not landed, or has more rows that reach no day than its contract tolerates.

    With --source and no paths, files are pulled from the address that the source's contract names (pull: url), for
    the days --from to --to; without these, for the last few days (poll_days). What was fetched is not fetched again.
    """
    if replaces is not None and (len(paths or ()) != 1 or not paths or not paths[0].is_file()):
        raise typer.BadParameter("name the one file that takes its place", param_hint="--replaces")
    if paths and source is None:
        raise typer.BadParameter("with paths, name whose files these are, e.g. demo_shop", param_hint="--source")
    if source is not None and not paths:
        days = pulled_days(first, last)
        settings = settings_of(root, sources)
        with said_where_new(settings):
            pull(settings, source, days, is_dry_run=dry_run, is_historical=historical, as_json=as_json)
        return
    for given, name in ((first, "--from"), (last, "--to"), (dry_run, "--dry-run")):
        if given:
            raise typer.BadParameter("it goes with --source, and without paths", param_hint=name)
    settings = settings_of(root, sources)
    with said_where_new(settings):
        is_landed = land_ready(settings, paths, source, as_json=as_json, is_historical=historical, replaces=replaces)
    if not is_landed:
        raise typer.Exit(1)


def land_ready(
    settings: Settings,
    paths: Sequence[Path] | None = None,
    source: str | None = None,
    *,
    as_json: bool = False,
    is_historical: bool = False,
    replaces: str | None = None,
) -> bool:
    """Land the named paths, or what lies ready in the landing folder, and say what came of it.

    Returns:
        False where a file was refused, too many of its rows reach no day, or, without named paths, a contract is broken
        or gone.
    """
    from ml_data_platform.stages.contract_notices import contract_notices
    from ml_data_platform.stages.decisions import find_landed, replace_landed, retracted_among
    from ml_data_platform.stages.landed_files import (
        REFUSED,
        describe,
        land_inbox,
        land_named,
        notices_on_masking,
        summarise,
        waiting_files,
    )
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.state import current_records
    from ml_data_platform.stages.unusable_rows import judge_landed

    platform = open_platform(settings)
    if replaces is not None:
        # Before anything is landed: a file that was meant to replace another must not count beside it.
        find_landed(platform, str(source), replaces)
    started = dt.datetime.now(dt.UTC)
    with screen.progress("landing") as (bar, task):

        def on_file(done: int, total: int, _result: object) -> None:
            bar.update(task, completed=done, total=total)

        results = (
            land_named(platform, str(source), paths, on_file, is_historical=is_historical)
            if paths
            else land_inbox(platform, on_file, is_historical=is_historical)
        )
    left = None if paths else waiting_files(platform)
    refused = [describe(result) for result in results if result.outcome in REFUSED]
    replaced = None
    record = results[0].record if replaces is not None else None
    if replaces is not None and record is not None and record.status != "rejected":
        replaced = replace_landed(platform, str(source), replaces, record)
        results = [replace(results[0], record=replaced.record)]
    if results:
        show_landed(settings, platform, results, (), started)
    counts, notices = summarise(results), notices_on_masking(platform)
    lacking = contract_notices(platform.contracts, current_records(platform))
    retracted = retracted_among(platform, [result.record for result in results if result.record is not None])
    verdicts = judge_landed(platform).among(results)
    refused += verdicts.rejected_before(results)
    if as_json:
        waiting = [*left.unsettled, *left.unfinished, *left.stray] if left else []
        unknown = list(left.unknown_folders) if left else []
        answer = {**counts, "refused": refused, "waiting": waiting, "unknown_folders": unknown, "retracted": retracted}
        if replaced is not None:
            answer["replaced"] = {"sha256": replaced.sha256, "is_new": replaced.is_new, "days": list(replaced.days)}
        answer["unusable_rows"] = verdicts.to_json()
        screen.print_json({**answer, "masking_notices": list(notices), "contract_notices": list(lacking)})
    else:
        _say_landed(counts, [str(path) for path in paths] if paths else [str(settings.landing)])
        tables.print_verdicts(verdicts)
        tables.print_contract_notices(lacking)
        tables.print_notices(notices)
        tables.print_refused(refused)
        for line in retracted[:SHOWN_NAMES]:
            screen.say("counts no longer", style="yellow", tail=f": {line}")
        if replaced is not None:
            _say_replaced(replaced)
        if left is not None:
            _say_left(left, settings, platform.contracts)
    # Of a named source, only its own contract matters, and that is known to be good here.
    return not refused and not verdicts.red and not (lacking and not paths)


def _say_landed(counts: Mapping[str, int], places: Sequence[str]) -> None:
    named = f"{', '.join(places[:SHOWN_NAMES])}{' …' if len(places) > SHOWN_NAMES else ''}"
    known, landed = counts.get("known_files", 0), counts.get("landed_files", 0)
    without_rows = counts.get("empty_files", 0) + counts.get("header_only_files", 0)
    if not counts["files"]:
        screen.say("nothing to land", tail=f": there is no new file in {named}")
    elif known == counts["files"]:
        screen.say("nothing to land", tail=f": {screen.counted(known, 'file')} known already, byte for byte")
    if landed:
        rows, days = screen.counted(counts["landed_rows"], "row"), screen.counted(counts["touched_days"], "day")
        undated = f"; {screen.counted(counts['undated_rows'], 'row')} without a usable day" * bool(
            counts["undated_rows"]
        )
        screen.say(f"landed {screen.counted(landed, 'file')}", style="green", tail=f" with {rows} on {days}{undated}")
    if counts["too_late_rows"]:
        rows = screen.counted(counts["too_late_rows"], "row")
        tail = f": {rows} of frozen days, kept in data/too_late_rows until they are replayed"
        screen.say("came too late", style="yellow", tail=tail)
    if known and known < counts["files"]:
        screen.say(f"{screen.counted(known, 'file')} known already, byte for byte")
    if without_rows:
        screen.say(f"{screen.counted(without_rows, 'file')} without any row")


def _say_replaced(replaced: Replacement) -> None:
    days = f"its rows were on {screen.counted(len(replaced.days), 'day')}, which will be built again"
    what = days if replaced.is_new else "that was done before, nothing changed"
    screen.say(f"replaced {replaced.sha256[:12]}", style="green", tail=f": {what}")


def _say_left(left: WaitingFiles, settings: Settings, contracts: Contracts) -> None:
    """Say which files of the landing folder were not taken in, and what brings them in."""
    if left.unsettled:
        why = f"changed less than {settings.settle_seconds:g} seconds ago; run `land` again when they stand still"
        _say_waiting(left.unsettled, why)
    if left.unfinished:
        _say_waiting(left.unfinished, "the name says that it is still being written; rename it when it is whole")
    if left.stray:
        _say_waiting(left.stray, f"not in the folder of a source; move it into {settings.landing}/<source>/")
    broken = [f"{name}/" for name in left.unknown_folders if name in contracts.broken]
    unknown = [f"{name}/" for name in left.unknown_folders if name not in contracts.broken]
    if broken:
        _say_waiting(broken, "the contract of this source is broken; correct it and run `land` again", noun="folder")
    if unknown:
        why = f"no source of this name; known are {', '.join(contracts)}; write a contract, or rename the folder"
        _say_waiting(unknown, why, noun="folder")


def _say_waiting(names: Sequence[str], why: str, noun: str = "file") -> None:
    shown = f"{', '.join(names[:SHOWN_NAMES])}{' …' if len(names) > SHOWN_NAMES else ''}"
    counted = screen.counted(len(names), noun)
    screen.say("not taken in", style="yellow", tail=f": {counted} ({shown}): {why}")
