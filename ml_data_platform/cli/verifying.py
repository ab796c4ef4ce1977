"""Commands that look after what is stored: ``verify`` and ``gc``.

Belongs here: their arguments and output. Does not belong here: looking, mending, collecting.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ml_data_platform.cli import screen
from ml_data_platform.cli.options import JsonOption, RootOption, require_root, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml_data_platform.settings import Settings
    from ml_data_platform.stages.platform import Platform
    from ml_data_platform.stages.verification import Look, Verification
    from ml_data_platform.storage.collection import Collection
    from ml_data_platform.storage.defects import Defect
    from ml_data_platform.storage.scrub import Progress

MAX_SHOWN = 50
MAX_AGE = dt.timedelta(days=36_500)
_AGE = re.compile(r"([0-9]{1,6})(m|h|d)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def age_argument(text: str) -> dt.timedelta:
    """Return the age that an argument names, e.g. ``24h``."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"an age is written like 90m, 24h or 7d; got {text!r}")
    return dt.timedelta(**{_UNITS[match[2]]: int(match[1])})


def verify(
    root: RootOption = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Mend what log and kept bytes allow; set altered files aside, delete nothing."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read every stored byte again, and compare objects, log, view, ledger and kept bytes; names each defect.

    Safe while the platform works. What cannot be mended from what is stored is named with the partition to run.
    """
    from ml_data_platform.stages.platform import open_platform

    platform = open_platform(require_root(settings_of(root)))
    with screen.progress("verifying") as (bar, task):

        def on_progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        found = verify_all(platform, is_repair=repair, on_progress=on_progress)
    if as_json:
        screen.print_json(found.to_json())
    else:
        _print_verification(found, is_repair=repair)
    if found.open:
        raise typer.Exit(1)


def verify_all(platform: Platform, *, is_repair: bool = False, on_progress: Progress = lambda *_: None) -> Verification:
    """Look at everything that is stored under a root, whichever layer keeps it; see ``stages.verification.verify``."""
    from ml_data_platform.cli.version_looks import restored_objects
    from ml_data_platform.stages.verification import verify as look

    # Before the tables, which would call lost what a version's copies bring back.
    restored = restored_objects(platform) if is_repair else ()
    found = look(platform, is_repair=is_repair, on_progress=on_progress, further=_further_looks())
    return replace(found, defects=(*restored, *found.defects))


def _further_looks() -> list[Look]:
    """Return the looks of the layers that `stages.verification` does not know."""
    from ml_data_platform.cli.version_looks import look_at_models, look_at_versions
    from ml_data_platform.defs.history_repair import look_at_databases
    from ml_data_platform.defs.verified_history import look_at_history
    from ml_data_platform.stages.verified_keys import look_at_keys
    from ml_data_platform.stages.verified_root import look_at_root_mark

    return [
        look_at_root_mark,
        look_at_keys,
        look_at_databases,
        look_at_history,
        _look_at_snapshots,
        look_at_versions,
        look_at_models,
    ]


def _look_at_snapshots(platform: Platform, is_repair: bool) -> Iterable[Defect]:
    from ml_data_platform.cli.versioning import repository_of
    from ml_data_platform.datasets.verified_snapshots import look_at_snapshots

    return look_at_snapshots(platform.store, repository_of(platform.settings), is_repair=is_repair)


def gc(
    root: RootOption = None,
    keep_last: Annotated[
        int, typer.Option("--keep-last", metavar="N", min=1, help="Generations of each partition to keep.")
    ] = 3,
    older_than: Annotated[
        dt.timedelta,
        typer.Option(
            "--older-than",
            metavar="AGE",
            parser=age_argument,
            help="Keep what was replaced or written later than this.",
        ),
    ] = "24h",  # type: ignore[assignment]
    runs_older_than: Annotated[
        dt.timedelta,
        typer.Option(
            "--runs-older-than",
            metavar="AGE",
            parser=age_argument,
            help="Keep what Dagster recorded of runs that ended later than this.",
        ),
    ] = "90d",  # type: ignore[assignment]
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove the files of old generations, what crashes left, and old runs. Log, landed bytes and versions stay.

    Of each partition the newest generation, the last N, those replaced less than AGE ago and those that a version
    pins are kept; of Dagster's runs those that hold the newest state of a partition or the newest result of a check.
    """
    from ml_data_platform.stages.platform import open_platform

    settings = require_root(settings_of(root))
    platform = open_platform(settings)
    with screen.progress("collecting") as (bar, task):
        if not dry_run:
            platform.store.recover()
        removed = platform.store.collect(
            keep_last=keep_last,
            older_than=older_than,
            is_dry_run=dry_run,
            on_progress=lambda asset: bar.update(task, description=f"objects of {asset}"),
        )
        bar.update(task, description="runs")
        ended_before = dt.datetime.now(dt.UTC) - min(runs_older_than, MAX_AGE)
        runs = _collect_runs(settings, ended_before, is_dry_run=dry_run)
    if as_json:
        screen.print_json({**_collection_json(removed, is_dry_run=dry_run), "runs_removed": len(runs)})
        return
    _print_collection(removed, is_dry_run=dry_run)
    if runs:
        said = "would remove" if dry_run else "removed"
        old = f" of Dagster's history, which ended before {ended_before:%Y-%m-%d %H:%M} UTC"
        screen.say(f"{said} {screen.counted(len(runs), 'run')}", style="green", tail=old)


def _collect_runs(settings: Settings, ended_before: dt.datetime, *, is_dry_run: bool) -> list[str]:
    """Remove the runs that are old and needed for nothing, and return their ids."""
    from ml_data_platform.defs.instance import open_instance
    from ml_data_platform.defs.retention import expired_runs, remove_runs

    with open_instance(settings) as instance:
        found = expired_runs(instance, ended_before)
        if not is_dry_run:
            remove_runs(instance, found)
    return found


def _collection_json(removed: Collection, *, is_dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": is_dry_run,
        "generations_expired": removed.generations_expired,
        "orphans_removed": removed.orphans_removed,
        "uploads_removed": removed.uploads_removed,
        "bytes_removed": removed.bytes_removed,
        "objects_kept": removed.objects_kept,
        "keys": list(removed.keys),
    }


def _print_collection(removed: Collection, *, is_dry_run: bool) -> None:
    if not removed.keys and not removed.uploads_removed:
        screen.say("nothing to remove", style="green", tail=f": {screen.counted(removed.objects_kept, 'file')} in use")
        return
    said = "would remove" if is_dry_run else "removed"
    files = screen.counted(len(removed.keys), "file")
    screen.say(f"{said} {files}", style="green", tail=f" of {removed.bytes_removed / 1e6:,.1f} MB")
    screen.say(
        f"  {removed.generations_expired:,} of old generations, {removed.orphans_removed:,} that no record names"
    )
    if removed.uploads_removed:
        screen.say(f"  and {screen.counted(removed.uploads_removed, 'unfinished upload')}")
    screen.say(f"{screen.counted(removed.objects_kept, 'file')} kept")
    if is_dry_run:
        for key in removed.keys[:MAX_SHOWN]:
            screen.say(f"  {key}")


def _print_verification(found: Verification, *, is_repair: bool) -> None:
    counts = found.counts
    checked = (
        f"{counts.get('objects_read', 0):,} files ({counts.get('bytes_read', 0) / 1e6:,.1f} MB), "
        f"{counts.get('records_read', 0):,} records and {counts.get('view_files_checked', 0):,} files of the view read"
    )
    for advice in found.advice:
        screen.say(advice, style="yellow")
    if not found.defects:
        screen.say("all is whole", style="green", tail=f": {checked}")
        return
    screen.say(checked)
    table = Table(box=None, pad_edge=False)
    for column in ("defect", "asset", "day", "where and what"):
        table.add_column(column, overflow="fold")
    for defect in found.defects[:MAX_SHOWN]:
        kind = f"{defect.kind.value} (repaired)" if defect.is_repaired else defect.kind.value
        where = f"{defect.key}: {defect.detail}" if defect.detail else defect.key
        table.add_row(kind, defect.asset, defect.day, where)
    screen.show(table)
    if len(found.defects) > MAX_SHOWN:
        screen.say(f"… and {len(found.defects) - MAX_SHOWN:,} more; --json names all")
    for kind in dict.fromkeys(defect.kind for defect in found.open):
        first = next(defect for defect in found.open if defect.kind is kind)
        screen.say(f"{kind.value}", style="bold", tail=f": {first.meaning} {first.remedy}")
    if found.open and not is_repair:
        screen.say("Mend what can be mended: ml-data-platform verify --repair")
