"""The asset ``landed_files``."""

import datetime as dt
from collections.abc import Callable, Sequence

import dagster as dg
from pydantic import Field

from ml_data_platform.defs import shown_text
from ml_data_platform.defs.command_runs import record_command
from ml_data_platform.defs.daily import OWNERS
from ml_data_platform.defs.io_manager import retry_if_transient
from ml_data_platform.defs.late_rows import report_too_late_rows
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.defs.unusable_rows import check_landed_rows, unusable_rows_spec
from ml_data_platform.errors import SettingsError
from ml_data_platform.events.untrusted_text import plain
from ml_data_platform.landing.landing import LandedFile
from ml_data_platform.stages.contract_notices import contract_notices
from ml_data_platform.stages.decisions import retracted_among
from ml_data_platform.stages.landed_files import (
    REFUSED,
    describe,
    land_inbox,
    notices_on_masking,
    summarise,
    waiting_files,
)
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.pull_report import PullReport
from ml_data_platform.stages.pulling import pull_days, pull_watched
from ml_data_platform.stages.state import current_records
from ml_data_platform.storage.layout import parse_day

MAX_PULLED_DAYS = 3_660


class PullConfig(dg.Config):
    """What a run pulls, beside what lies in the landing folder."""

    pull_sources: list[str] | None = Field(
        default=None,
        description="Sources whose contract names an address; by default all of them, [] for none.",
    )
    pull_from: str | None = Field(
        default=None,
        description="First UTC day to pull, YYYY-MM-DD; without it the last days (poll_days of the contract).",
    )
    pull_to: str | None = Field(default=None, description="Last UTC day to pull, included.")


def landed_files() -> dg.AssetsDefinition:
    """Define the asset."""

    @dg.asset(
        name="landed_files",
        group_name="landing",
        kinds={"file", "duckdb"},
        owners=OWNERS,
        check_specs=[
            dg.AssetCheckSpec(
                "files_are_readable",
                asset="landed_files",
                description="Every file of this run could be read as its contract says.",
            ),
            dg.AssetCheckSpec(
                "contracts_are_readable",
                asset="landed_files",
                description="Every source of which files count has a contract, and no contract is broken.",
            ),
            unusable_rows_spec(),
        ],
    )
    def landed_files(
        context: dg.AssetExecutionContext, config: PullConfig, platform: PlatformResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        """One ledger record per landed file; its bytes are kept unchanged, its rows routed to their event days.

        Takes in what lies still in the folder of each source below the landing folder, and pulls what is new or changed
        at the addresses that contracts name (`pull: url`): of the last days, or of the days `pull_from` to `pull_to` of
        the run's configuration. The same bytes again change nothing. A file that cannot be read is recorded with the
        reason and holds up no other. Rows without a usable event day are kept in `data/undated_rows`, with the reason;
        the check `landed_rows_are_usable` lists the files that have more of them than their contract tolerates.
        Rows that came after their day was frozen are, where the contract says `late_policy: quarantine`, kept in
        `data/too_late_rows` until they are replayed; that is decided once, when a file is landed first.
        """
        opened = platform.open()
        try:
            results = land_inbox(
                opened,
                progress=lambda done, total, result: context.log.info("%s/%s %s", done, total, plain(describe(result))),
            )
            pulled = pull_configured(opened, config, context.log.info)
        except OSError as error:
            retry_if_transient(error, context.retry_number)
            raise
        report_too_late_rows(context.instance, opened)
        return landed_result(opened, results, pulled)

    return landed_files


def landed_result(
    opened: Platform, results: Sequence[LandedFile], pulled: Sequence[PullReport] = ()
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Return what is reported of files that a run or a command took in.

    Args:
        opened: The opened root.
        results: What became of the files that were not pulled.
        pulled: What became of the others.
    """
    results = [*results, *(result for report in pulled for result in report.landed)]
    refused = [describe(result) for result in results if result.outcome in REFUSED]
    not_fetched = [line for report in pulled for line in report.not_fetched]
    retracted = retracted_among(opened, [result.record for result in results if result.record is not None])
    left = waiting_files(opened)
    lacking = contract_notices(opened.contracts, current_records(opened))
    return dg.MaterializeResult(
        metadata=shown_text.facts(
            {
                **summarise(results),
                "refused": shown_text.listed(refused[:20]),
                "not_fetched": shown_text.listed(not_fetched[:20]),
                "retracted": shown_text.listed(retracted[:20]),
                "masking_notices": "; ".join(notices_on_masking(opened)) or "none",
                "folders_of_no_source": ", ".join(left.unknown_folders) or "none",
                "files_outside_of_folders": ", ".join(left.stray[:20]) or "none",
            }
        ),
        check_results=[
            dg.AssetCheckResult(
                check_name="files_are_readable",
                passed=not refused and not not_fetched,
                severity=dg.AssetCheckSeverity.WARN,
                metadata=shown_text.facts(
                    {
                        "files": len(results),
                        "refused_files": len(refused),
                        "not_fetched_files": len(not_fetched),
                    }
                ),
            ),
            dg.AssetCheckResult(
                check_name="contracts_are_readable",
                passed=not lacking,
                severity=dg.AssetCheckSeverity.ERROR,
                metadata=shown_text.facts(
                    {
                        "sources": len(lacking),
                        "contracts": shown_text.listed(lacking, nothing="all readable"),
                    }
                ),
            ),
            check_landed_rows(opened),
        ],
    )


def report_landed(
    instance: dg.DagsterInstance,
    opened: Platform,
    results: Sequence[LandedFile],
    pulled: Sequence[PullReport] = (),
    *,
    command: str,
    started: dt.datetime,
) -> None:
    """Show in the UI what a command took in, as a run of the job that does the same."""
    report_too_late_rows(instance, opened)
    found = {"landed_files": landed_result(opened, results, pulled)}
    record_command(instance, "ingest", found, command=command, started=started)


def pull_configured(platform: Platform, config: PullConfig, log: Callable[[str], None]) -> list[PullReport]:
    """Pull what a run is configured to pull.

    Raises:
        SettingsError: Only one of the two days is named, or they are no range.
        PartitionKeyError: A day is none.
        ContractError: There is no such source, or its contract names no address.
    """
    if config.pull_from is None and config.pull_to is None:
        reports = pull_watched(platform, config.pull_sources)
    else:
        days = _days(config)
        known = [source for source, contract in sorted(platform.contracts.items()) if contract.pull is not None]
        wanted = known if config.pull_sources is None else config.pull_sources
        reports = [pull_days(platform, source, days) for source in wanted]
    for file in (file for report in reports for file in report.files if file.outcome != "unchanged"):
        log(plain(f"{file.source} {file.day} {file.name}: {file.outcome}{f': {file.reason}' if file.reason else ''}"))
    return reports


def _days(config: PullConfig) -> list[dt.date]:
    if config.pull_from is None or config.pull_to is None:
        raise SettingsError("only one day of the range is named", remedy="Give both pull_from and pull_to.")
    first, last = parse_day(config.pull_from), parse_day(config.pull_to)
    count = (last - first).days + 1
    if not 1 <= count <= MAX_PULLED_DAYS:
        expected = f"1 to {MAX_PULLED_DAYS:,} days"
        raise SettingsError("the days to pull are no range", expected=expected, got=f"{first} to {last}")
    return [first + dt.timedelta(days=offset) for offset in range(count)]
