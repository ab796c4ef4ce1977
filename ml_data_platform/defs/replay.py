"""Replay through Dagster: what was quarantined is let in, and the days that this touches are built.

Belongs here: the order of the steps, for the command line and the job alike, and the job. Does not belong here: what
is let in (``stages.replay``), or how a day is built (``defs.backfill``).
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

import dagster as dg

from ml_data_platform.defs import shown_text
from ml_data_platform.defs.backfill import BackfillReport, Progress, backfill
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.errors import PlatformError
from ml_data_platform.events.untrusted_text import plain
from ml_data_platform.landing.landing import LandedFile
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.quarantine import Wanted, require_reason
from ml_data_platform.stages.replay import Applied, ReplayPlan, apply_replay, count_rows, prepare_replay
from ml_data_platform.storage.layout import parse_day

JOB = "replay_quarantined"
SHOWN_DAYS = 20


@dataclass(frozen=True)
class ReplayReport:
    """What a replay did.

    Attributes:
        plan: What was found before.
        applied: What was read again and admitted.
        built: What was built; nothing where nothing was dirty.
        rows_after: Rows that are quarantined for the reason after it.
    """

    plan: ReplayPlan
    applied: Applied
    built: BackfillReport = field(default_factory=BackfillReport)
    rows_after: int = 0

    @property
    def is_successful(self) -> bool:
        """Whether every day that was to be built is."""
        return self.built.is_successful


def replay(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    platform: Platform,
    wanted: Wanted,
    *,
    why: str,
    on_file: Callable[[LandedFile], None] = lambda _: None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> ReplayReport:
    """Let in what is quarantined for a reason, as far as anything changed, and build exactly the days concerned.

    Doing it again does nothing; killed at any moment, doing it again ends it.

    Args:
        definitions: The code location of the root.
        instance: The instance of the root; every run is recorded there.
        platform: The opened root.
        wanted: The reason, and which sources and days.
        why: Kept in the ledger with each admission of rows that came too late.
        on_file: Called after each file that was read again.
        on_progress: Called before and after each run.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
        SettingsError: Nothing is quarantined for such a reason.
    """
    require_reason(wanted.reason, platform.contracts)
    found = prepare_replay(platform, wanted)
    applied = apply_replay(platform, found, why, on_file)
    built = BackfillReport()
    if applied.days:
        built = backfill(definitions, instance, platform, applied.days, on_progress)
    return ReplayReport(found, applied, built, count_rows(platform, wanted))


class ReplayConfig(dg.Config):
    """What to replay.

    Attributes:
        reason: A rule, why rows have no day, ``too_late``, ``file_refused`` or a kind, as `quarantine list` shows it.
        source: Only this source; all where empty.
        first_day: First UTC day, ``YYYY-MM-DD``; open where empty.
        last_day: Last UTC day; open where empty.
        dry_run: Only say what would be done.
    """

    reason: str
    source: str = ""
    first_day: str = ""
    last_day: str = ""
    dry_run: bool = False


def replay_quarantined(location: Callable[[], dg.Definitions]) -> dg.JobDefinition:
    """Define the job that replays; its days are runs of their own, as those of a backfill.

    Args:
        location: Returns the code location that the job is part of.
    """

    @dg.op(name="let_in", description="Let in what is quarantined for a reason, and build its days.")
    def let_in(context: dg.OpExecutionContext, config: ReplayConfig, platform: PlatformResource) -> dg.Output[int]:
        opened = platform.open()
        try:
            wanted = Wanted(config.reason, config.source, _day(config.first_day), _day(config.last_day))
            require_reason(wanted.reason, opened.contracts)
            if config.dry_run:
                found = prepare_replay(opened, wanted)
                return dg.Output(found.rows, metadata=shown_text.facts(_facts(found)))
            report = replay(
                location(),
                context.instance,
                opened,
                wanted,
                why=f"run {context.run_id}",
                on_progress=lambda step: context.log.info("%s of %s: %s", step.done, step.total, step.run.day),
            )
        except PlatformError as error:
            raise dg.Failure(
                plain(str(error)), allow_retries=False, metadata={"error": type(error).__name__}
            ) from error
        facts = shown_text.facts(
            {
                **_facts(report.plan),
                "files_read_again": report.applied.files_read_again,
                "rows_admitted": report.applied.rows_admitted,
                "runs": report.built.runs,
                "rows_after": report.rows_after,
            }
        )
        if not report.is_successful:
            failed = [f"{each.asset} of {each.day}: {each.why}" for each in report.built.failed]
            blocked = [f"{each.asset} of {each.day}: {'; '.join(each.reasons)}" for each in report.built.blocked]
            raise dg.Failure(
                "\n".join(map(plain, [*failed, *blocked][:SHOWN_DAYS])), allow_retries=False, metadata=facts
            )
        return dg.Output(report.rows_after, metadata=facts)

    @dg.job(
        name=JOB,
        description=(
            "Let in rows that are quarantined for a reason, after the contract, the rule or its tolerance changed, or"
            " rows that came too late. Builds exactly the days that hold them. Twice does nothing."
        ),
        executor_def=dg.in_process_executor,
    )
    def job() -> None:
        let_in()

    return job


def _day(text: str) -> dt.date | None:
    return parse_day(text) if text else None


def _facts(found: ReplayPlan) -> dict[str, int | str]:
    days = [day.isoformat() for day in found.dirty_days]
    return {
        "rows_before": found.rows,
        "files_of_an_older_contract": len(found.outdated),
        "too_late_rows": sum(each.rows for each in found.admissions),
        "days_to_build": ", ".join(days[:SHOWN_DAYS]) + (" …" if len(days) > SHOWN_DAYS else "") or "none yet",
        "nothing_to_do": str(found.is_empty).lower(),
    }
