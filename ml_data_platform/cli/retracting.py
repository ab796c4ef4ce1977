"""The commands ``retract`` and ``reinstate``: take a landed file back, and undo that.

Belongs here: their arguments and output. Does not belong here: retracting (``stages.retraction``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from ml_data_platform.cli import screen
from ml_data_platform.cli.options import JsonOption, RootOption, SourcesOption, root_and_days

if TYPE_CHECKING:
    from ml_data_platform.stages.platform import Platform
    from ml_data_platform.stages.retraction import Turn

SHOWN_DAYS = 7
MAX_REASON = 500

FileArgument = Annotated[
    str,
    typer.Argument(
        metavar="FILE|SHA",
        help="The file: its SHA-256 or the first 8 digits or more, the name that it was landed under, or a path to the"
        " same bytes.",
    ),
]
SourceOption = Annotated[str, typer.Option("--source", metavar="NAME", help="Whose file it is.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done; changes nothing.")]


def _reason(text: str) -> str:
    if not text.strip() or len(text) > MAX_REASON:
        raise typer.BadParameter(f'say why in 1 to {MAX_REASON} characters, e.g. "sent by mistake"')
    return text.strip()


ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="WORDS", parser=_reason, help="Why; kept with the decision.")
]


def retract(
    file: FileArgument,
    source: SourceOption,
    reason: ReasonOption,
    dry_run: DryRunOption = False,
    root: RootOption = None,
    sources: SourcesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a landed file back without a replacement: its rows count on no day any more.

    Its days are due from then on, and built by the sensors or the next backfill. Bytes and ledger record stay, and so do
    versions that hold its rows. The same bytes landed or pulled again stay retracted; `reinstate` brings them back. To put
    a corrected file in its place: `land FILE --replaces SHA`.
    """
    from ml_data_platform.errors import DecisionError
    from ml_data_platform.stages.lost_records import give_up
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.retraction import retract_file

    settings, _ = root_and_days(root, sources, None, None)
    platform = open_platform(settings)
    try:
        done = retract_file(platform, source, file, reason, is_dry_run=dry_run)
    except DecisionError:
        lost = give_up(platform, source, file, reason, is_dry_run=dry_run)
        if lost is None:
            raise
        if as_json:
            screen.print_json({"source": source, "sha256": lost, "is_lost": True, "is_dry_run": dry_run})
            return
        word = "would be given up" if dry_run else "given up"
        screen.say(
            f"{word}: {source}/{lost[:12]}",
            style="green",
            tail=", which is lost; `backfill` builds its days without it",
        )
        return
    if as_json:
        screen.print_json({**done.to_json(), "is_dry_run": dry_run})
    elif not done.is_new:
        _say_known(platform, done, f"{done.file.record.name} was {done.file.why}")
    else:
        _print(done, "would be retracted" if dry_run else "retracted", lambda days: f"its rows were on {days}")


def reinstate(
    file: FileArgument,
    source: SourceOption,
    reason: ReasonOption,
    dry_run: DryRunOption = False,
    root: RootOption = None,
    sources: SourcesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the rows of a retracted file count again, on the days on which they counted before."""
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.retraction import reinstate_file

    settings, _ = root_and_days(root, sources, None, None)
    platform = open_platform(settings)
    done = reinstate_file(platform, source, file, reason, is_dry_run=dry_run)
    if as_json:
        screen.print_json({**done.to_json(), "is_dry_run": dry_run})
    elif not done.is_new:
        _say_known(platform, done, f"{done.file.record.name} is not retracted")
    else:
        _print(done, "would be reinstated" if dry_run else "reinstated", lambda days: f"its rows are on {days}")


def _say_known(platform: Platform, done: Turn, known: str) -> None:
    """Say that nothing is to be decided, and which days are still to be built since it was: by whom was killed, maybe."""
    from ml_data_platform.stages.replay import dirty_among

    record = done.file.record
    days = dirty_among(platform, map(dt.date.fromisoformat, {**record.rows_per_day, **record.too_late}))
    if not days:
        screen.say("nothing to do", style="green", tail=f": {known}")
        return
    named = ", ".join(map(str, days[:SHOWN_DAYS])) + (" …" if len(days) > SHOWN_DAYS else "")
    screen.say(
        "nothing to decide", style="yellow", tail=f": {known}; to be built by the sensors or `backfill`: {named}"
    )


def _print(done: Turn, word: str, place: Callable[[str], str]) -> None:
    record, days = done.file.record, sorted(done.counted)
    named = ", ".join(days[:SHOWN_DAYS]) + (f" and {len(days) - SHOWN_DAYS} more" if len(days) > SHOWN_DAYS else "")
    rows = screen.counted(record.rows, "row")
    on_days = f"{place(named)}, to be built again by the sensors or `backfill`" if days else "none of them is on a day"
    screen.say(
        f"{word} {record.source}/{record.name}", style="green", tail=f" ({record.sha256[:12]}), {rows}: {on_days}"
    )
