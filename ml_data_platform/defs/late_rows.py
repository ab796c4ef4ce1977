"""The check that says that rows came too late, kept true also of days that nothing builds.

Belongs here: reporting that one check outside of a build. Does not belong here: what too late is
(``events.lateness``), and checks of partitions that are built (``defs.checks``).

Rows that came too late are no input of their day, so nothing builds it, and its check would stay green.
"""

import datetime as dt
from collections.abc import Sequence

import dagster as dg

from ml_data_platform.defs.checks import check_results, report_outside_of_runs
from ml_data_platform.defs.history import partitions_said_otherwise
from ml_data_platform.stages.day_lateness import NOTHING_LANDED, lateness_of_days
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import asset_rules, current_records, read_watermarks
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform.validation.runner import check_metrics
from ml_data_platform.validation.table_rules import NO_ROWS_ARE_TOO_LATE

ASSET = "raw_events"
JOB = "report_too_late_rows"
"""Name of the runs under which the check is reported; nothing runs in them."""
KEY = dg.AssetCheckKey(dg.AssetKey(ASSET), NO_ROWS_ARE_TOO_LATE)


def report_too_late_rows(
    instance: dg.DagsterInstance, platform: Platform, records: Sequence[LedgerRecord] | None = None
) -> list[dt.date]:
    """Report the check on days where what it said last is no longer so; returns these days, in order.

    Compares states, so that it can be called at any time and any number of times.

    Args:
        instance: Where it is recorded.
        platform: The opened root.
        records: Current ledger records, where they were read already.
    """
    records = current_records(platform) if records is None else records
    wrong = partitions_said_otherwise(instance, KEY, {day for record in records for day in record.too_late})
    if not wrong:
        return []
    rules = [rule for rule in asset_rules(platform, ASSET) if rule.name == NO_ROWS_ARE_TOO_LATE]
    changed = [dt.date.fromisoformat(day) for day in wrong]
    lateness = lateness_of_days(records, read_watermarks(platform), platform.contracts, changed)
    found: dict[dt.date | None, dg.AssetCheckResult] = {
        day: result
        for day in changed
        for result in check_results(ASSET, check_metrics(rules, lateness.get(day, NOTHING_LANDED).metrics))
    }
    report_outside_of_runs(instance, found, JOB)
    return changed
